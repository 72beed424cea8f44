//! The processes of a private PostgreSQL: `initdb`, `postgres`, `psql` and the watchdog.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::unistd::{Uid, User};
use tokio::time::Instant;

use super::DEADLINE;
use crate::pause;

/// The superuser of the server; it needs no password.
pub(super) const USER: &str = "gibbon";

/// The watchdog's script: `$1` is the test process, `$2` the folder.
///
/// When the test is killed during `initdb`, that continues for a moment.
const WATCHDOG: &str = r#"
while kill -0 "$1" 2>/dev/null; do sleep 0.5; done
sleep 1
pid=$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null) && kill -CONT "$pid" && kill -QUIT "$pid"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$2" 2>/dev/null && exit
    sleep 0.5
done
"#;

/// The owner of the server's processes and files when the tests run as root: PostgreSQL refuses to run as
/// root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

/// The user that runs the server; `None` for the tests' own.
pub(super) fn owner() -> Option<Owner> {
    if !Uid::effective().is_root() {
        return None;
    }
    let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = user.expect("root can run PostgreSQL as the user postgres or nobody");
    Some(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

/// Makes the folder of a server.
pub(super) fn make_folder(owner: Option<Owner>) -> PathBuf {
    let folder = tempfile::Builder::new().prefix("gibbon-postgres").tempdir().expect("a folder can be made");
    if let Some(owner) = owner {
        let given = std::os::unix::fs::chown(folder.path(), Some(owner.uid), Some(owner.gid));
        given.expect("root gives a folder away");
    }
    folder.keep()
}

/// Makes the data of a server in its folder.
pub(super) fn initialize(folder: &Path, owner: Option<Owner>) {
    let mut initdb = command("initdb", owner);
    initdb
        .args(["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"])
        .arg("--pgdata")
        .arg(folder.join("data"))
        .current_dir(folder);
    succeed("initdb", initdb.output()).unwrap_or_else(|error| panic!("{error}"));
}

/// Starts a server and waits until it answers.
pub(super) fn start(folder: &Path, owner: Option<Owner>, port: u16, durable: bool) -> Child {
    let end = Instant::now() + DEADLINE;
    loop {
        let mut server = spawn(folder, owner, port, durable);
        while Instant::now() < end && server.try_wait().is_ok_and(|status| status.is_none()) {
            if psql(&format!("postgres://{USER}@127.0.0.1:{port}/postgres"), "SELECT 1").is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // After a kill, the children of the old server may still hold its shared memory for a moment.
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(Instant::now() < end && log.contains("still in use"), "PostgreSQL does not start:\n{log}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn spawn(folder: &Path, owner: Option<Owner>, port: u16, durable: bool) -> Child {
    let log = File::create(folder.join("log")).expect("a log can be made");
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=32MB".to_owned(),
    ];
    if !durable {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    let mut server = command("postgres", owner);
    server.arg("-D").arg(folder.join("data")).current_dir(folder);
    for setting in settings {
        server.args(["-c", &setting]);
    }
    server
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("PostgreSQL can be started")
}

/// Starts the watchdog of a server.
pub(super) fn watch(folder: &Path) -> Child {
    let mut watchdog = Command::new("sh");
    watchdog
        .args(["-c", WATCHDOG, "gibbon-postgres-watchdog", &std::process::id().to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C goes to the test's group; the watchdog must outlive it.
        .process_group(0);
    watchdog.spawn().expect("a shell can be started")
}

/// Runs SQL.
pub(super) fn psql(url: &str, sql: &str) -> Result<String, String> {
    let mut psql = command("psql", None);
    psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"]);
    succeed("psql", psql.args(["-d", url, "-c", sql]).output())
}

/// Waits for the end of a server.
pub(super) fn wait_exit(server: &mut Child, deadline: Duration) {
    let end = Instant::now() + deadline;
    while server.try_wait().expect("an own child can be waited for").is_none() {
        assert!(Instant::now() < end, "PostgreSQL does not stop within {deadline:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Stops a server and then its children, and waits until they are stopped.
pub(super) fn stop_all(server: &Child) {
    let end = Instant::now() + DEADLINE;
    let is_running = |pid: &u32| !pause::is_stopped(*pid);
    // First the one that makes and reaps the others: after it has stopped, their list is complete.
    let mut running = vec![server.id()];
    while !running.is_empty() {
        assert!(Instant::now() < end, "PostgreSQL is not stopped within {DEADLINE:?}");
        running.iter().for_each(|pid| pause::stop(*pid));
        running = children(server.id()).into_iter().filter(is_running).collect();
    }
}

/// The children of a process.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn command(name: &str, owner: Option<Owner>) -> Command {
    let mut command = Command::new(binary(name));
    command.stdin(Stdio::null()).process_group(0);
    for (variable, _) in std::env::vars_os() {
        // PGHOST, PGPASSWORD, … would select another server.
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

/// Debian keeps the server's programs out of the PATH, and wrappers in it may pick another server.
fn binary(name: &str) -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = installed
        .map(|entry| entry.path())
        .filter(|folder| folder.join("bin").join(name).is_file())
        .max_by_key(|folder| version(folder));
    newest.map_or_else(|| PathBuf::from(name), |folder| folder.join("bin").join(name))
}

fn succeed(what: &str, result: std::io::Result<Output>) -> Result<String, String> {
    let output = result.map_err(|error| format!("cannot run {what} (is postgresql installed?): {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{what} failed: {}{}", text(&output.stdout), text(&output.stderr))),
    }
}
