//! `deploy/run-local.sh` on ports and a data folder of the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testkit::http::Client;
use testkit::ports::{self, Port};
use testkit::process::Program;
use testkit::wait;

/// Starting and stopping take about a second; the machine may be busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// The folder and ports of an installation. It can be started more than once.
#[derive(Debug)]
pub(crate) struct Installation {
    folder: TempDir,
    /// Further environment variables, of both programs.
    variables: Vec<(&'static str, &'static str)>,
    pub(crate) admin: Port,
    pub(crate) cluster: Port,
    pub(crate) control_status: Port,
    pub(crate) proxy: Port,
    pub(crate) gateway_status: Port,
    pub(crate) origin: Port,
}

/// The running script. When the test fails, a signal makes the script end everything that it started.
#[derive(Debug)]
pub(crate) struct Running {
    script: Child,
    output: PathBuf,
}

impl Installation {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            variables: Vec::new(),
            admin: ports::reserve(),
            cluster: ports::reserve(),
            control_status: ports::reserve(),
            proxy: ports::reserve(),
            gateway_status: ports::reserve(),
            origin: ports::reserve(),
        }
    }

    /// An installation whose programs have Kong's families of metrics without the plugin.
    pub(crate) fn with_kong_metrics() -> Self {
        Self { variables: vec![("GIBBON_METRICS__COMPAT", "true")], ..Self::new() }
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn admin_client(&self) -> Client {
        Client::new(self.admin.address())
    }

    pub(crate) fn proxy_client(&self) -> Client {
        Client::new(self.proxy.address())
    }

    /// Starts the script, and waits until it reports that it is ready.
    pub(crate) async fn run(&self) -> Running {
        let mut running = self.start();
        wait::eventually(DEADLINE, || {
            let ended = running.script.try_wait().expect("an own child can be waited for");
            let output = running.output();
            assert!(ended.is_none(), "{ended:?}: {output}");
            std::future::ready(if output.contains("Ctrl-C ends it") { Ok(()) } else { Err(output) })
        })
        .await;
        running
    }

    pub(crate) fn start(&self) -> Running {
        let bin = Program::gateway().path().parent().expect("a program lies in a folder").to_owned();
        assert_eq!(Program::control().path().parent(), Some(bin.as_path()));
        let path = self.folder.path().join("output");
        let output = File::create(&path).expect("a file can be made");
        // A shell that starts with SIGINT ignored, as in the background of another, cannot trap it.
        let script = Command::new("env")
            .arg("--default-signal=INT")
            .arg(root().join("deploy/run-local.sh"))
            .env("RUN_BIN", bin)
            .env("RUN_DATA", self.data())
            .envs(self.ports())
            .envs(self.variables.iter().copied())
            .env_remove("RUN_DATABASE_URL")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file can be shared"))
            .stderr(output)
            .spawn()
            .expect("the script can be started");
        Running { script, output: path }
    }

    /// All processes that use the data folder, as `pid command line`.
    pub(crate) fn processes(&self) -> Vec<String> {
        let data = self.data().to_string_lossy().into_owned();
        let pids = fs::read_dir("/proc").expect("/proc can be read").flatten().map(|entry| entry.path());
        pids.filter_map(|path| {
            let read = |name: &str| fs::read(path.join(name)).ok();
            let environment = String::from_utf8_lossy(&read("environ")?).into_owned();
            let line = String::from_utf8_lossy(&read("cmdline")?).replace('\0', " ");
            environment.contains(&data).then(|| format!("{} {line}", path.display()))
        })
        .collect()
    }

    fn ports(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("RUN_ADMIN_PORT", &self.admin),
            ("RUN_CLUSTER_PORT", &self.cluster),
            ("RUN_CONTROL_STATUS_PORT", &self.control_status),
            ("RUN_PROXY_PORT", &self.proxy),
            ("RUN_GATEWAY_STATUS_PORT", &self.gateway_status),
            ("RUN_ORIGIN_PORT", &self.origin),
        ]
        .into_iter()
        .map(|(name, port)| (name, port.number().to_string()))
    }
}

impl Running {
    /// The output of the script so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.script.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), signal).expect("an own child can be signalled");
    }

    pub(crate) async fn wait_exit(&mut self) -> ExitStatus {
        wait::eventually(DEADLINE, || {
            let status = self.script.try_wait().expect("an own child can be waited for");
            std::future::ready(status.ok_or("the script is still running"))
        })
        .await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.script.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGTERM);
            self.script.wait().expect("an own child can be waited for");
        }
        if std::thread::panicking() {
            eprintln!("--- run-local.sh wrote:\n{}---", self.output());
        }
    }
}

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}
