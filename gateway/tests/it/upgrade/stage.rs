//! A data plane that can be upgraded. It starts at a path of its own, under a fake service manager, with a
//! control plane that pushes changes all the time.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use model::plugins::{Config, RateLimiting};
use model::{Certificate, Number, Plugin, Sni, Target, Upstream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use testkit::certs::{self, Pair};
use testkit::http::Client;
use testkit::origin::Origin;
use testkit::plane::DEADLINE;
use testkit::ports::{self, Port};
use testkit::process::{Process, Program};
use testkit::wait;
use tokio::task::JoinSet;
use uuid::Uuid;
use wire::{Key, Mode};

use crate::control_plane::{FakeControlPlane, route, service};

/// An entity, in its published form.
type Published = (Key, Option<Bytes>);

/// The id of the upstream of `/balanced`.
pub(crate) const UPSTREAM: Uuid = Uuid::from_u128(20);
/// Interval of the changes that the control plane pushes.
const PACE: Duration = Duration::from_millis(20);

pub(crate) struct Stage {
    pub(crate) proxy: Port,
    status: Port,
    folder: TempDir,
    manager: UnixDatagram,
    /// The main process that the service manager was notified of last.
    main: u32,
    first: Process,
    heard: Arc<Heard>,
    _cluster: Port,
    pub(crate) origin: Origin,
    /// The target of `/balanced` at which nothing listens.
    pub(crate) dead: Port,
    /// The certificate for every server name.
    pub(crate) certificate: Pair,
    _control: JoinSet<()>,
}

/// The state of the control plane.
#[derive(Default)]
struct Heard {
    pushed: AtomicU64,
    node_ids: Mutex<HashSet<Uuid>>,
}

impl Stage {
    /// Starts it, serving `/kept`, `/limited`, and `/balanced` from two targets, with these keys set.
    pub(crate) async fn start(keys: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [proxy, status, cluster, dead] = std::array::from_fn(|_| ports::reserve());
        let pair = certs::valid(folder.path(), "cluster");
        let (socket, program) = (folder.path().join("notify"), folder.path().join("gibbon-gateway"));
        let real = Program::gateway().path().to_owned();
        symlink(&real, &program).unwrap();
        let manager = UnixDatagram::bind(&socket).unwrap();
        manager.set_nonblocking(true).unwrap();

        let mut command = Program::gateway().placed(program).arg("run").env("NOTIFY_SOCKET", socket);
        let addresses = [proxy.to_string(), status.to_string(), cluster.to_string()];
        let own = [
            ("state_dir", folder.path().to_str().unwrap()),
            ("proxy.listen", &addresses[0]),
            ("status.listen", &addresses[1]),
            ("cluster.control_planes", &addresses[2]),
        ];
        for (key, value) in own.into_iter().chain(keys.iter().copied()) {
            command = command.env(&format!("GIBBON_{}", key.to_uppercase().replace('.', "__")), value);
        }
        let (origin, heard, mut tasks) = (Origin::start(), Arc::new(Heard::default()), JoinSet::new());
        let control = FakeControlPlane::listen(cluster.address(), &pair).await;
        let certificate = certs::server(folder.path(), "server", &["kept.test"]);
        let mut kept = vec![service(1, origin.address()), route(2, 1, "/kept")];
        kept.extend(for_every_name(&certificate));
        kept.extend(balanced([origin.address(), dead.address()]));
        kept.extend(limited());
        tasks.spawn(push(control, kept, heard.clone()));
        let first = command.env("REAL_PROGRAM", real).spawn();
        let main = first.pid();
        let mut stage = Self {
            proxy,
            status,
            manager,
            main,
            first,
            heard,
            folder,
            _cluster: cluster,
            origin,
            dead,
            certificate,
            _control: tasks,
        };
        stage.told("READY=1").await;
        stage.ready().await;
        stage
    }

    /// The main process from the service manager's view.
    pub(crate) const fn main_pid(&self) -> u32 {
        self.main
    }

    /// How many changes were pushed and acknowledged.
    pub(crate) fn pushed(&self) -> u64 {
        self.heard.pushed.load(Ordering::Relaxed)
    }

    /// The number of node ids that the control plane has seen.
    pub(crate) fn node_ids(&self) -> usize {
        self.heard.node_ids.lock().unwrap().len()
    }

    /// Signals the main process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.main.try_into().unwrap()), signal).unwrap();
    }

    /// Waits for a notification of the service manager with these words.
    pub(crate) async fn told(&mut self, words: &str) {
        let (manager, main) = (&self.manager, &mut self.main);
        wait::eventually(DEADLINE, || {
            let mut said = [0; 1024];
            let said = match manager.recv(&mut said) {
                Ok(length) => String::from_utf8_lossy(&said[..length]).into_owned(),
                Err(_) => "nothing".to_owned(),
            };
            if let Some(pid) = said.lines().find_map(|line| line.strip_prefix("MAINPID=")) {
                *main = pid.parse().unwrap();
            }
            let found = said.contains(words);
            std::future::ready(if found { Ok(()) } else { Err(format!("no {words}, but {said}")) })
        })
        .await;
    }

    /// Waits until this process is gone.
    pub(crate) async fn ended(&mut self, pid: u32) {
        let first = &mut self.first;
        wait::until(2 * DEADLINE, "the old process ends", || {
            // Reaped here if it is ours; the parents of the others are gone.
            (first.pid() == pid && first.poll_exit().is_some()) || !runs(pid)
        })
        .await;
    }

    /// Waits until the first process has ended without a fault.
    pub(crate) async fn exited_well(&mut self) {
        assert_eq!(self.first.wait_exit(DEADLINE).await.code(), Some(0));
    }

    pub(crate) fn status_address(&self) -> SocketAddr {
        self.status.address()
    }

    pub(crate) async fn ready(&self) {
        let status = Client::new(self.status.address());
        wait::eventually(DEADLINE, || async {
            let answer = status.get("/status/ready").await?;
            anyhow::ensure!(answer.status == 200, "{}", answer.text());
            Ok(())
        })
        .await;
    }

    pub(crate) async fn status(&self) -> Value {
        Client::new(self.status.address()).get("/status").await.unwrap().expect(200).json()
    }

    /// Waits until the counters of `/status` satisfy `holds`.
    pub(crate) async fn wait_status(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        wait::eventually(DEADLINE, || async {
            let server = self.status().await["server"].take();
            anyhow::ensure!(holds(&server), "not {what}: {server}");
            Ok(())
        })
        .await;
    }

    /// Waits until the live configuration is on disk.
    pub(crate) async fn disk_follows(&self) {
        let least = self.status().await["sync"]["revision"].as_u64();
        wait::eventually(DEADLINE, || async {
            let sync = self.status().await["sync"].take();
            anyhow::ensure!(sync["disk_revision"].as_u64() >= least, "{sync}");
            Ok(())
        })
        .await;
    }

    /// Writes this text to the program's path.
    pub(crate) fn place(&self, text: &str) {
        self.replace(|path| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        });
    }

    /// Restores the program at its path.
    pub(crate) fn place_program(&self) {
        self.replace(|path| symlink(Program::gateway().path(), path).unwrap());
    }

    /// Ends the main process, and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        self.told("STOPPING=1").await;
        self.ended(self.main).await;
    }

    fn replace(&self, put: impl Fn(&Path)) {
        let new = self.folder.path().join("new");
        put(&new);
        fs::rename(new, self.folder.path().join("gibbon-gateway")).unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if runs(self.main) {
            self.signal(Signal::SIGKILL);
        }
    }
}

/// A process that has ended stays in the table until its parent asks for it.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// The certificate and a server name for it, in their published form.
fn for_every_name(pair: &Pair) -> [(Key, Option<Bytes>); 2] {
    let (id, read) = (Uuid::from_u128(7), |path: &Path| fs::read_to_string(path).unwrap());
    let certificate =
        Certificate { cert: read(&pair.cert), key: read(&pair.key).into(), ..Certificate::default() };
    let name = Sni { id: Uuid::from_u128(8), name: "*".into(), certificate: id };
    [
        (model::Certificate::key(id), Some(serde_json::to_vec(&certificate).unwrap().into())),
        (model::Sni::key(name.id), Some(serde_json::to_vec(&name).unwrap().into())),
    ]
}

/// An upstream whose targets are out after one connection that fails, in its published form.
fn balanced(targets: [SocketAddr; 2]) -> Vec<Published> {
    let mut upstream = Upstream { name: "balanced".into(), ..Upstream::default() };
    upstream.healthchecks.passive.unhealthy.tcp_failures = 1;
    let bytes = |entity: serde_json::Result<Vec<u8>>| Some(entity.unwrap().into());
    let by_name = model::Service { host: upstream.name.clone(), ..model::Service::default() };
    let mut all = vec![
        (Upstream::key(UPSTREAM), bytes(serde_json::to_vec(&upstream))),
        (model::Service::key(Uuid::from_u128(11)), bytes(serde_json::to_vec(&by_name))),
        route(12, 11, "/balanced"),
    ];
    for (id, target) in (21..).zip(targets) {
        let target = Target { upstream: UPSTREAM, target: target.to_string(), ..Target::default() };
        all.push((Target::key(Uuid::from_u128(id)), bytes(serde_json::to_vec(&target))));
    }
    all
}

/// A route of which a client may send 5 requests in a year, in its published form.
fn limited() -> [Published; 2] {
    let limits = RateLimiting { year: Some(Number::whole(5)), ..RateLimiting::default() };
    let plugin = Plugin {
        name: "rate-limiting".into(),
        route: Some(Uuid::from_u128(31)),
        config: Config::RateLimiting(Box::new(limits)),
        ..Plugin::default()
    };
    let bytes = serde_json::to_vec(&plugin).unwrap();
    [route(31, 1, "/limited"), (Plugin::key(Uuid::from_u128(32)), Some(bytes.into()))]
}

/// Welcomes each data plane that connects, and pushes changes to it until it leaves.
async fn push(mut control: FakeControlPlane, kept: Vec<Published>, heard: Arc<Heard>) {
    loop {
        let mut connected = control.welcome().await;
        heard.node_ids.lock().unwrap().insert(connected.hello.node_id);
        let mut update = control.history.update(Mode::Snapshot, &kept);
        while connected.try_update(&update).await.is_some() {
            heard.pushed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PACE).await;
            let path = format!("/{}", control.history.position.revision % 10);
            update = control.history.update(Mode::Delta, &[route(3, 1, &path)]);
        }
    }
}
