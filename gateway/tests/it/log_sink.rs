//! A log sink that takes no lines: requests continue, and the program ends in time.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::Signal;
use testkit::http::{Client, Connection};
use testkit::wait;
use tokio::time::Instant;

use crate::program::{Node, Running, SOON};

/// A request that the log reports.
const BAD: &[u8] = b"GET / HTTP/1.1\r\nno field\r\n\r\n";
/// Such requests, each with some lines at the level `trace`.
const REQUESTS: u32 = 2000;

struct Stage {
    node: Node,
    running: Running,
}

impl Stage {
    async fn start(format: &str, change: impl FnOnce(&mut Command)) -> Self {
        let node = Node::new();
        let mut command = node.command("run");
        command.env("GIBBON_LOG__LEVEL", "trace").env("GIBBON_LOG__FORMAT", format);
        change(&mut command);
        let running = Running(command.spawn().unwrap());
        let status = Client::new(node.status.address());
        wait::eventually(SOON, || status.get("/status")).await;
        Self { node, running }
    }

    async fn send_bad_requests(&self, number: u32) {
        for _ in 0..number {
            let mut connection = Connection::open(self.node.proxy.address()).await.unwrap();
            connection.write(BAD).await.unwrap();
            let answer = tokio::time::timeout(SOON, connection.read_response(false)).await;
            answer.expect("an answer in time").unwrap().expect(400);
        }
    }

    async fn dropped(&self) -> f64 {
        let metrics = Client::new(self.node.status.address()).get("/metrics").await.unwrap().text();
        let series = "gibbon_log_lines_dropped_total{reason=\"sink\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap()
    }

    /// Sends requests until lines are lost: the sink takes none.
    async fn lose_lines(&self) {
        let begun = Instant::now();
        while self.dropped().await == 0.0 {
            assert!(begun.elapsed() < 3 * SOON, "no line is lost");
            self.send_bad_requests(REQUESTS / 10).await;
        }
        self.send_bad_requests(REQUESTS).await;
    }

    async fn ends_well(mut self) {
        self.running.signal(Signal::SIGTERM);
        assert_eq!(self.running.exit_code().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_pipe_holds_up_neither_requests_nor_the_end() {
    for format in ["text", "json"] {
        let stage = Stage::start(format, |_| {}).await;
        stage.lose_lines().await;
        stage.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_is_read_at_last_tells_how_many_lines_were_lost() {
    for (format, says) in [("text", " lines of the log were lost"), ("json", "\"level\":\"ERROR\"")] {
        let mut stage = Stage::start(format, |_| {}).await;
        stage.lose_lines().await;
        let read = read_on(&mut stage.running.0);
        wait::until(SOON, "the log tells of lost lines", || {
            let read = read.lock().unwrap();
            String::from_utf8_lossy(&read)
                .lines()
                .any(|line| line.contains("were lost") && line.contains(says))
        })
        .await;
        stage.ends_well().await;
    }
}

fn read_on(child: &mut Child) -> Arc<Mutex<Vec<u8>>> {
    let (mut pipe, read) = (child.stderr.take().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let into = read.clone();
    // Ends with the program.
    thread::spawn(move || {
        let mut chunk = [0; 65_536];
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            into.lock().unwrap().extend_from_slice(&chunk[..length]);
        }
    });
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_costs_lines_only() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let stage = Stage::start("text", |command| {
        command.stderr(Stdio::from(full));
    })
    .await;
    stage.send_bad_requests(50).await;
    assert!(stage.dropped().await > 0.0);
    stage.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_gone_costs_lines_only() {
    let mut stage = Stage::start("text", |_| {}).await;
    drop(stage.running.0.stderr.take());
    stage.send_bad_requests(50).await;
    assert!(stage.dropped().await > 0.0);
    stage.ends_well().await;
}
