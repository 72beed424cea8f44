//! The program: arguments, exit codes, signals, status.

mod status;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testkit::http::{Client, Request};
use testkit::ports::{self, Port};
use testkit::{certs, wait};

pub(crate) const SOON: Duration = Duration::from_secs(20);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gibbon-gateway"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn assert_exit(output: &Output, code: i32, says: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in says {
        assert!(said.contains(word), "no {word} in: {said}");
    }
}

/// A running program, killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        wait::eventually(SOON, || std::future::ready(self.0.try_wait().unwrap().ok_or("still running")))
            .await
            .code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A data plane's folder, ports and environment. No control plane listens at its address.
pub(crate) struct Node {
    folder: TempDir,
    pub(crate) proxy: Port,
    pub(crate) status: Port,
    nobody: Port,
}

impl Node {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certs::valid(folder.path(), "cluster");
        Self { folder, proxy: ports::reserve(), status: ports::reserve(), nobody: ports::reserve() }
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = program();
        command
            .arg(name)
            .env("GIBBON_STATE_DIR", self.folder.path())
            .env("GIBBON_PROXY__LISTEN", self.proxy.to_string())
            .env("GIBBON_STATUS__LISTEN", self.status.to_string())
            .env("GIBBON_CLUSTER__CONTROL_PLANES", self.nobody.to_string());
        command
    }

    async fn run(&self) -> (Running, Client) {
        self.run_with(&[]).await
    }

    /// Runs the program with these variables, too.
    async fn run_with(&self, variables: &[(&str, &str)]) -> (Running, Client) {
        let mut command = self.command("run");
        command.envs(variables.iter().copied());
        let running = Running(command.stderr(Stdio::inherit()).spawn().unwrap());
        let status = Client::new(self.status.address());
        wait::eventually(SOON, || status.get("/status")).await;
        (running, status)
    }
}

#[test]
fn bad_configuration_and_arguments_exit_64_and_name_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, "[proxy]\nheader_timeout = \"soon\"\n").unwrap();
    let run = |file: &Path| program().arg("run").arg("--config").arg(file).output().unwrap();
    assert_exit(&run(&file), 64, &["proxy.header_timeout", "soon", "gateway.toml:2"]);
    std::fs::write(&file, "[proxy]\ncolour = 1\n").unwrap();
    assert_exit(&run(&file), 64, &["proxy.colour"]);
    assert_exit(&run(Path::new("/nonexistent.toml")), 64, &["/nonexistent.toml"]);
    let check = program().arg("check").env("GIBBON_PROXY__LISTEN_TLS", "0.0.0.0:8000").output().unwrap();
    assert_exit(&check, 64, &["proxy.listen_tls", "env GIBBON_PROXY__LISTEN_TLS"]);
    assert_exit(&program().arg("walk").output().unwrap(), 64, &["walk"]);
}

#[test]
fn check_prints_each_key_with_its_origin() {
    let output = program().arg("check").env("GIBBON_PROXY__MAX_IN_FLIGHT", "77").output().unwrap();
    assert_exit(&output, 0, &[]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("proxy.max_in_flight = 77  # env GIBBON_PROXY__MAX_IN_FLIGHT"), "{printed}");
    assert!(printed.contains("proxy.header_timeout = \"10s\"  # default"), "{printed}");
}

#[test]
fn closed_pipe_is_no_panic() {
    for (arguments, code) in [(&["check"][..], 0), (&["health"], 1), (&["--help"], 0), (&["--version"], 0)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = program()
            .args(arguments)
            .env("GIBBON_STATUS__LISTEN", ports::reserve().to_string())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn what_is_missing_exits_69_and_says_so() {
    let node = Node::new();
    let taken = std::net::TcpListener::bind(node.proxy.address()).unwrap();
    let output = node.command("run").output().unwrap();
    assert_exit(&output, 69, &["cannot listen on", &node.proxy.to_string(), "another program"]);
    drop(taken);
    std::fs::remove_file(node.folder.path().join("cluster.key")).unwrap();
    assert_exit(&node.command("run").output().unwrap(), 69, &["cluster.key"]);
}

/// Passes listeners like systemd's socket activation: on the descriptors from 3 on. The test keeps them open,
/// so that the program could not bind the addresses itself.
#[tokio::test(flavor = "multi_thread")]
async fn it_takes_sockets_that_it_is_given() {
    let node = Node::new();
    let sockets =
        [&node.proxy, &node.status].map(|port| std::net::TcpListener::bind(port.address()).unwrap());
    let command = |sockets: &[std::net::TcpListener]| {
        let given = sockets.iter().map(|socket| socket.try_clone().unwrap().into());
        let mappings =
            given.zip(3..).map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        let mut command = node.command("run");
        command.env("LISTEN_FDS", "2").fd_mappings(mappings).unwrap();
        command
    };
    let output = command(&sockets).env("LISTEN_PREDECESSOR", "1").output().unwrap();
    assert_exit(&output, 69, &["cannot listen on"]);
    let output = command(&sockets).env("LISTEN_PID", "1").output().unwrap();
    assert_exit(&output, 69, &["cannot listen on"]);

    let mut running = Running(command(&sockets).stderr(Stdio::inherit()).spawn().unwrap());
    let status = Client::new(node.status.address());
    wait::eventually(SOON, || status.get("/status")).await;
    Client::new(node.proxy.address()).get("/").await.unwrap().expect(503);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_one_process_s() {
    let node = Node::new();
    let (_running, _) = node.run().await;
    let (proxy, status) = (ports::reserve(), ports::reserve());
    let mut second = node.command("run");
    second.env("GIBBON_PROXY__LISTEN", proxy.to_string()).env("GIBBON_STATUS__LISTEN", status.to_string());
    assert_exit(&second.output().unwrap(), 69, &["is used by another process", "state_dir"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_reports_and_stops() {
    let node = Node::new();
    let health = |code: i32, says: &str| {
        let output = node.command("health").output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(says), "{said}");
    };
    health(1, "cannot ask");
    let (mut running, status) = node.run().await;
    health(1, "not ready: 503");

    let ready = status.get("/status/ready").await.unwrap().expect(503);
    assert_eq!(ready.json()["message"], "no configuration available");
    Client::new(node.proxy.address()).get("/").await.unwrap().expect(503);
    // A request is counted when its response has gone out.
    let shown = wait::eventually(SOON, || async {
        let shown = status.get("/status").await.unwrap().expect(200).json();
        if shown["server"]["total_requests"] == 1 { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!(shown["server"]["connections_accepted"], 1);
    assert_eq!(shown["configuration_hash"], "0".repeat(32));
    assert_eq!(shown["sync"]["connected"], false);
    let metrics = status.get("/metrics").await.unwrap().expect(200);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text().contains("gibbon_http_requests_total{code=\"503\",source=\"gateway\"} 1"));
    assert!(metrics.text().contains("gibbon_build_info{version="));
    status.get("/elsewhere").await.unwrap().expect(404);
    status.send(&Request::new("POST", "/status")).await.unwrap().expect(405);

    running.signal(Signal::SIGHUP);
    tokio::time::sleep(Duration::from_millis(200)).await;
    status.get("/status").await.unwrap().expect(200);
    running.signal(Signal::SIGTERM);
    assert_eq!(running.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_it_at_once() {
    let node = Node::new();
    let (mut running, _) = node.run().await;
    running.signal(Signal::SIGINT);
    assert_eq!(running.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_answers_with_what_it_received() {
    let port = ports::reserve();
    let mut running = Running(program().args(["echo", "--listen", &port.to_string()]).spawn().unwrap());
    let client = Client::new(port.address());
    wait::eventually(SOON, || client.get("/")).await;
    let request = Request::new("PUT", "/a?b").header("X-A", "1").header("X-A", "2").body("12345");
    for _ in 0..2 {
        let received = client.send(&request).await.unwrap().expect(200).json();
        assert_eq!(received["method"], "PUT");
        assert_eq!(received["path"], "/a?b");
        assert_eq!(received["headers"]["x-a"], "1, 2");
        assert_eq!(received["body_bytes"], 5);
    }
    running.signal(Signal::SIGTERM);
    assert_eq!(running.exit_code().await, Some(0));
    let mut said = String::new();
    running.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
