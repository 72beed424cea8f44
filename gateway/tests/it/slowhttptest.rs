//! Runs `slowhttptest` in its four modes against short deadlines. Its connections are closed, a client beside
//! it is served all the while, and memory stays bounded.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use testkit::http::Client;
use testkit::origin::Answer;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::upgrade::Stage;

/// Connections in each attack.
const CONNECTIONS: &str = "200";
/// It ends by itself once all its connections are closed, else after this many seconds.
const MAX_SECONDS: &str = "25";
/// The longest time of a good request.
const SLOWEST: Duration = Duration::from_secs(5);
/// The most memory of the gateway, in KiB: its idle memory, and a MiB for each connection, of a response of
/// four.
const MEMORY: u64 = (60 + 200) << 10;

/// Headers that never end.
#[tokio::test(flavor = "multi_thread")]
async fn slow_headers() {
    attack(&["-H", "-i", "1"], true).await;
}

/// Bodies of which a few bytes come now and then.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies() {
    attack(&["-B", "-i", "1", "-s", "8192"], true).await;
}

/// Answers of which a few bytes are read now and then.
#[tokio::test(flavor = "multi_thread")]
async fn slow_readers() {
    attack(&["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "5", "-k", "1"], false).await;
}

/// Ranges that overlap; the origin may refuse them, and they cost the gateway nothing.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_ranges() {
    attack(&["-R", "-a", "1", "-b", "3000"], true).await;
}

/// `tells`: the tool sees that its connections are closed. It does not while it does not read.
async fn attack(mode: &[&str], tells: bool) {
    let keys =
        [("proxy.header_timeout", "2s"), ("proxy.body_timeout", "2s"), ("proxy.min_body_rate", "1000")];
    let mut stage = Stage::start(&keys).await;
    stage.origin.answer_with(|request| match request.target.as_str() {
        "/good" => Answer::echo(),
        _ => Answer::status(200).size(4 << 20),
    });
    let address = stage.proxy.address();
    let good = Good::start(address);
    let attacker = Command::new("slowhttptest")
        .args(mode)
        .args(["-c", CONNECTIONS, "-r", CONNECTIONS, "-l", MAX_SECONDS, "-p", "5", "-v", "1"])
        .args(["-u", &format!("http://{address}/kept/bad")])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("slowhttptest: {error}; .ci/install installs it"));
    stage.wait_status("under attack", |server| server["connections_accepted"].as_u64() > Some(250)).await;
    stage.wait_status("free of it", |server| server["connections_active"].as_u64() < Some(5)).await;
    if tells {
        let output = attacker.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("No open connections left"), "{mode:?}: {said}");
    }

    let (served, slowest) = good.end().await;
    assert!(served > 20, "{served} good requests");
    assert!(slowest < SLOWEST, "the slowest good request took {slowest:?}");
    let most = most_memory(stage.main_pid());
    assert!(most < MEMORY, "{mode:?}: {most} KiB");
    stage.signal(Signal::SIGTERM);
    stage.exited_well().await;
}

/// A client that requests again and again, and must be answered 200 each time.
struct Good {
    done: Arc<AtomicBool>,
    clients: JoinSet<(u32, Duration)>,
}

impl Good {
    fn start(address: SocketAddr) -> Self {
        let (done, mut clients) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        clients.spawn(ask(address, done.clone()));
        Self { done, clients }
    }

    /// How many requests were answered, and how long the slowest took.
    async fn end(mut self) -> (u32, Duration) {
        self.done.store(true, Ordering::Relaxed);
        self.clients.join_next().await.unwrap().unwrap()
    }
}

async fn ask(address: SocketAddr, done: Arc<AtomicBool>) -> (u32, Duration) {
    let (mut served, mut slowest) = (0, Duration::ZERO);
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        // On a connection of its own, which must be accepted, too.
        Client::new(address).get("/kept/good").await.unwrap().expect(200);
        slowest = slowest.max(asked.elapsed());
        served += 1;
        sleep(Duration::from_millis(20)).await;
    }
    (served, slowest)
}

/// The peak memory of the process, in KiB.
fn most_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
