//! The program with a bad configuration, and without the things that it needs.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::http::Client;
use testkit::plane::{Control, DEADLINE, Database};
use testkit::ports::{self, Port};
use testkit::{certs, wait};

/// Runs the program in `folder`, where there is a valid pair, with these variables set, to its end.
fn run(folder: &Path, command: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
        .arg(command)
        .args(folder.join("config.toml").exists().then_some("--config=config.toml"))
        .current_dir(folder)
        .env("GIBBON_DATA_DIR", folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn assert_exit(output: &Output, code: i32, says: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in says {
        assert!(said.contains(word), "no {word} in: {said}");
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    certs::valid(folder.path(), "cluster");
    folder
}

#[test]
fn bad_configuration_ends_with_64_and_names_key_value_and_place() {
    let cases: [(&str, &[&str]); 20] = [
        ("colour = 1", &["colour", "config.toml"]),
        ("[cluster]\nlisten_on = \"127.0.0.1:1\"", &["cluster.listen_on"]),
        ("[cluster]\nlisten = \"here\"", &["cluster.listen", "here"]),
        ("[cluster]\nmtls = \"none\"", &["cluster.mtls", "none", "shared"]),
        ("[cluster]\nmtls = \"pki\"", &["cluster.mtls", "pki", "cluster.ca"]),
        ("[cluster]\nheartbeat_interval = \"10ms\"", &["cluster.heartbeat_interval", "10ms", "1s"]),
        (
            "[admin]\nlisten = \"0.0.0.0:8001\"",
            &["admin.listen", "0.0.0.0:8001", "authentication", "token create"],
        ),
        (
            "[admin]\nlisten_tls = \"0.0.0.0:1\"\ntls_cert = \"a\"\ntls_key = \"b\"",
            &["admin.listen_tls", "authentication", "admin.client_ca"],
        ),
        ("[admin]\nlisten_tls = \"127.0.0.1:1\"", &["admin.listen_tls", "admin.tls_cert"]),
        ("[admin]\nclient_ca = \"ca.crt\"", &["admin.client_ca", "admin.listen_tls"]),
        ("[admin]\nallowed_origins = [\"*\"]", &["admin.allowed_origins", "*", "https://admin.example"]),
        ("[admin]\nallowed_origins = [\"null\"]", &["admin.allowed_origins", "null"]),
        ("[admin]\nallowed_hosts = [\"a:80\"]", &["admin.allowed_hosts", "a:80", "without a port"]),
        ("[admin]\nsocket_mode = \"0666\"", &["admin.socket_mode", "0666", "0660"]),
        ("[admin]\nmax_connections = 0", &["admin.max_connections", "from 1 to"]),
        ("[admin]\nmax_header_bytes = 100", &["admin.max_header_bytes", "from 8192"]),
        ("[admin]\nbody_timeout = \"2m\"", &["admin.body_timeout", "2m", "60s at most"]),
        ("[status]\nheader_timeout = \"0s\"", &["status.header_timeout", "100ms"]),
        ("[database]\nurl = \"mysql://root@db/gibbon\"", &["database.url", "mysql", "postgres"]),
        ("[log]\nlevel = \"shout\"", &["log.level", "shout"]),
    ];
    for (text, says) in cases {
        let folder = folder();
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        for command in ["run", "check"] {
            assert_exit(&run(folder.path(), command, &[]), 64, says);
        }
    }
}

#[test]
fn an_unknown_variable_and_a_missing_file_end_with_64() {
    let folder = folder();
    let unknown = run(folder.path(), "run", &[("GIBBON_CLUSTER__COLOUR", "red")]);
    assert_exit(&unknown, 64, &["cluster.colour", "GIBBON_CLUSTER__COLOUR"]);
    let missing = Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
        .args(["run", "--config", "nowhere.toml"])
        .output()
        .unwrap();
    assert_exit(&missing, 64, &["nowhere.toml"]);
}

#[test]
fn what_is_not_there_ends_with_69_and_says_what_to_do() {
    let free = || ports::reserve();
    let (admin, cluster, status, database) = (free(), free(), free(), free());
    let texts = [admin.to_string(), cluster.to_string(), status.to_string()];
    let variables = [
        ("GIBBON_ADMIN__LISTEN", texts[0].as_str()),
        ("GIBBON_CLUSTER__LISTEN", texts[1].as_str()),
        ("GIBBON_STATUS__LISTEN", texts[2].as_str()),
    ];
    let bare = tempfile::tempdir().unwrap();
    assert_exit(&run(bare.path(), "run", &variables), 69, &["cluster.crt", "no such file", "pki gen-cert"]);

    let folder = folder();
    let taken = std::net::TcpListener::bind(admin.address()).unwrap();
    assert_exit(
        &run(folder.path(), "run", &variables),
        69,
        &["admin.listen", &texts[0], "end what listens there"],
    );
    drop(taken);

    let url = format!("postgres://gibbon:secret@{database}/gibbon");
    let output = run(folder.path(), "run", &[&variables[..], &[("GIBBON_DATABASE__URL", &url)]].concat());
    assert_exit(&output, 69, &[&database.to_string(), "database.url", "running"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
}

#[test]
fn check_prints_every_key_with_its_place() {
    let folder = folder();
    let url = "postgres://gibbon:secret@127.0.0.1/gibbon";
    let output = run(folder.path(), "check", &[("GIBBON_DATABASE__URL", url)]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("admin.listen = \"127.0.0.1:8001\"  # default"), "{printed}");
    assert!(printed.contains("GIBBON_DATABASE__URL") && !printed.contains("gibbon:secret"), "{printed}");
}

#[test]
fn closed_pipe_is_no_panic() {
    let folder = folder();
    let name = folder.path().to_str().unwrap().to_owned();
    let (cert, key) = (format!("{name}/pair.crt"), format!("{name}/pair.key"));
    let token = ["token", "create", "--role", "read", "--name", "a"];
    let file = folder.path().join("tokens");
    let into_file = [&token[..], &["--file", file.to_str().unwrap()]].concat();
    for (arguments, code) in [
        (&["check"][..], 0),
        (&["pki", "gen-cert", &cert, &key], 0),
        (&["pki", "init", "--dir", &name], 0),
        (&["pki", "show", &name], 0),
        (&["--help"], 0),
        (&["--version"], 0),
        // Nobody has seen it, and it cannot be printed again.
        (&token, 69),
        (&into_file, 69),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_gibbon-control"))
            .args(arguments)
            .current_dir(folder.path())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
    assert!(!file.exists());
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_gibbon-control"));
    let output = check.arg("check").current_dir(folder.path()).stdout(full).output().unwrap();
    assert_exit(&output, 69, &["standard output"]);
}

#[tokio::test]
async fn told_to_stop_it_ends_well_and_soon() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let folder = folder();
        let pair = certs::valid(folder.path(), "cluster");
        let mut control = Control::new(Database::Sqlite, &pair);
        control.node.start().await;
        let process = control.node.process_mut();
        for ignored in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGPIPE] {
            process.signal(ignored);
        }
        control.node.status_view().await;
        let process = control.node.process_mut();
        process.signal(signal);
        assert!(process.wait_exit(Duration::from_secs(10)).await.success());
    }
}

/// A running program, killed when dropped.
struct Running(Child);

impl Running {
    async fn ends_well_by(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
        let ended = || std::future::ready(self.0.try_wait().unwrap().ok_or("still running"));
        assert_eq!(wait::eventually(DEADLINE, ended).await.code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(folder: &Path, ports: &[Port; 3], change: impl FnOnce(&mut Command)) -> Running {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gibbon-control"));
    command.arg("run").current_dir(folder).env("GIBBON_DATA_DIR", folder).stdin(Stdio::null());
    for (key, port) in ["ADMIN", "CLUSTER", "STATUS"].iter().zip(ports) {
        command.env(format!("GIBBON_{key}__LISTEN"), port.to_string());
    }
    change(&mut command);
    Running(command.spawn().unwrap())
}

#[tokio::test]
async fn a_signal_to_stop_ends_a_start_that_waits_for_the_database() {
    let (folder, ports) = (folder(), [ports::reserve(), ports::reserve(), ports::reserve()]);
    // Accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://gibbon:secret@{}/gibbon", silent.local_addr().unwrap());
    let mut running = start(folder.path(), &ports, |command| {
        command.env("GIBBON_DATABASE__URL", url);
    });
    let _connected = tokio::time::timeout(DEADLINE, silent.accept()).await.unwrap().unwrap();
    running.ends_well_by(Signal::SIGTERM).await;
}

#[tokio::test]
async fn a_full_pipe_for_a_log_holds_up_no_answer() {
    let (folder, ports) = (folder(), [ports::reserve(), ports::reserve(), ports::reserve()]);
    let mut running = start(folder.path(), &ports, |command| {
        command.env("GIBBON_LOG__LEVEL", "trace").stderr(Stdio::piped());
    });
    let [admin, _, status] = ports.each_ref().map(|port| Client::new(port.address()));
    wait::eventually(DEADLINE, || status.get("/status/ready")).await;
    let dropped = async || {
        let metrics = status.get("/metrics").await.unwrap().text();
        let series = "gibbon_log_lines_dropped_total{reason=\"sink\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse::<f64>().unwrap()
    };
    // The audit log has a line for each write, with much of its path.
    let path = format!("/{}", "a".repeat(500));
    wait::eventually(6 * DEADLINE, || async {
        let writes = (0..64).map(|_| admin.post(&path, &serde_json::Value::Null));
        futures_util::future::join_all(writes).await.into_iter().for_each(|answer| {
            answer.unwrap().expect(404);
        });
        if dropped().await > 0.0 { Ok(()) } else { Err("no line is lost") }
    })
    .await;
    admin.get("/services").await.unwrap().expect(200);
    running.ends_well_by(Signal::SIGTERM).await;
}
