//! Our two programs, as processes.
//!
//! The binary is the one beside the running test (`target/<profile>/`). Cargo brings it up to date once per
//! test process. With `GIBBON_TEST_BIN_DIR` set, the binary in that folder is used as it is.

mod binary;

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::http::Client;
use crate::{pause, wait};

/// A command: the program and its settings.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    binary: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    config: Option<String>,
    folder: Option<PathBuf>,
}

/// A running program. Dropping it kills the program and, when the test is failing, prints its log.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    status: Option<ExitStatus>,
    /// The folder of the configuration and of the program's output.
    folder: TempDir,
}

impl Program {
    /// `gibbon-gateway`, without arguments.
    pub fn gateway() -> Self {
        Self::new("gibbon-gateway", binary::gateway())
    }

    /// `gibbon-control`, without arguments.
    pub fn control() -> Self {
        Self::new("gibbon-control", binary::control())
    }

    fn new(name: &'static str, binary: &Path) -> Self {
        Self {
            name,
            binary: binary.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            config: None,
            folder: None,
        }
    }

    /// The path of the program.
    pub fn path(&self) -> &Path {
        &self.binary
    }

    /// Starts the program by this path, where a test may replace the file meanwhile.
    #[must_use]
    pub fn placed(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable. The test's own variables that would be keys are not passed on.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Writes this text to a file and adds `--config <file>` after the other arguments.
    #[must_use]
    pub fn config(mut self, toml: impl Into<String>) -> Self {
        self.config = Some(toml.into());
        self
    }

    /// Runs the program in this folder, instead of in one of its own.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn spawn(self) -> Process {
        let folder = tempfile::Builder::new().prefix(self.name).tempdir().expect("a folder can be made");
        let child = self
            .command(folder.path())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.binary.display()));
        Process { name: self.name, child, status: None, folder }
    }

    fn command(&self, own: &Path) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments);
        if let Some(text) = &self.config {
            let path = own.join("config.toml");
            std::fs::write(&path, text).expect("a configuration can be written");
            command.arg("--config").arg(path);
        }
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("GIBBON_") && !name.starts_with("GIBBON_TEST_") {
                command.env_remove(name);
            }
        }
        let output = |name| File::create(own.join(name)).expect("a file for the output can be made");
        command
            .env("RUST_BACKTRACE", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.as_deref().unwrap_or(own))
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        command
    }
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The standard error stream so far: the log.
    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    /// The standard output so far.
    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    /// Kills the program (SIGKILL) and waits for its end.
    pub fn kill9(&mut self) {
        if self.status.is_none() {
            self.child.kill().expect("an own child can be killed");
            self.status = Some(self.child.wait().expect("an own child can be waited for"));
        }
    }

    /// Asks the program to end (SIGTERM).
    pub fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Stops the program (SIGSTOP): its connections stay open, but nothing answers. Returns when it is stopped.
    pub fn pause(&mut self) {
        if self.poll_exit().is_none() {
            pause::stop(self.pid());
        }
    }

    /// Sends a signal; without effect on a program that has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.poll_exit().is_none() {
            let pid = i32::try_from(self.pid()).expect("a pid fits");
            kill(Pid::from_raw(pid), signal).expect("an own child can be signalled");
        }
    }

    /// Whether and how the program has ended.
    pub fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("an own child can be waited for");
        }
        self.status
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    ///
    /// When the deadline passes.
    pub async fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let name = self.name;
        wait::eventually(deadline, || {
            std::future::ready(self.poll_exit().ok_or_else(|| format!("{name} is still running")))
        })
        .await
    }

    /// Waits until a `GET` of this target answers 200.
    ///
    /// # Panics
    ///
    /// When the deadline passes, or the program ends.
    pub async fn wait_ready(&mut self, client: &Client, target: &str, deadline: Duration) {
        let name = self.name;
        wait::eventually(deadline, || {
            if let Some(status) = self.poll_exit() {
                panic!("{name} ended with {status}");
            }
            async move {
                let response = client.get(target).await.map_err(|error| format!("{error:#}"))?;
                match response.status {
                    200 => Ok(()),
                    status => Err(format!("{name} {target}: {status} {}", response.text())),
                }
            }
        })
        .await;
    }

    fn output(&self, name: &str) -> String {
        let bytes = std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            let (name, pid) = (self.name, self.pid());
            eprintln!("--- {name} (pid {pid}) wrote:\n{}{}---", self.stdout(), self.stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Program {
        Program::new("sh", Path::new("/bin/sh")).arg("-c").arg(script)
    }

    #[tokio::test]
    async fn output_and_status_are_seen() {
        let script = r#"echo "$GIBBON_A$1"; cat "$2"; echo no >&2; exit 64"#;
        let program = shell(script).arg("sh").env("GIBBON_A", "b").config("c = 1\n");
        let mut process = program.spawn();
        assert_eq!(process.wait_exit(SOON).await.code(), Some(64));
        assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("b--config\nc = 1\n", "no\n"));
    }

    #[tokio::test]
    async fn a_process_ends_with_its_handle() {
        let process = shell("sleep 1000").spawn();
        let path = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(path.exists());
        drop(process);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_process_can_be_asked_and_killed() {
        let mut process = shell("trap 'exit 7' TERM; while :; do sleep 0.01; done").spawn();
        wait::eventually(SOON, || {
            // The shell may not have set its trap at the first try.
            process.terminate();
            std::future::ready(process.poll_exit().ok_or("running"))
        })
        .await;
        assert!(matches!(process.poll_exit().unwrap().code(), Some(7) | None));
        process.kill9();
        process.terminate();
    }
}
