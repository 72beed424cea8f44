//! A process that may open few files: clients do not use up the descriptors that the rest of it needs.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use testkit::http::{Client, Connection};
use testkit::wait;
use tokio::time::timeout;

use crate::program::{Node, Running, SOON};

const LIMIT: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_leaves_descriptors_for_everything_else() {
    let node = Node::new();
    let mut running = Running(limited(&node.command("run")).spawn().unwrap());
    let status = Client::new(node.status.address());
    wait::eventually(SOON, || status.get("/status")).await;

    let mut first = Connection::open(node.proxy.address()).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..2 * LIMIT {
        others.push(Connection::open(node.proxy.address()).await.unwrap());
    }
    for _ in 0..10 {
        timeout(SOON, Client::new(node.status.address()).get("/status")).await.unwrap().unwrap().expect(200);
    }
    first.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    timeout(SOON, first.read_response(false)).await.unwrap().unwrap().expect(503);
    let refused = timeout(SOON, others.last_mut().unwrap().read_to_end()).await.unwrap().unwrap_or_default();
    assert!(refused.is_empty() || refused.starts_with(b"HTTP/1.1 503"), "{refused:?}");
    // A quarter is reserved, and clients have half of the rest.
    let most = "gibbon_connections_active 96\n";
    wait::eventually(SOON, || async {
        let metrics = status.get("/metrics").await?.text();
        anyhow::ensure!(metrics.contains(most), "{metrics}");
        Ok(())
    })
    .await;

    drop(others);
    wait::eventually(SOON, || async {
        let answer = Client::new(node.proxy.address()).get("/").await?;
        anyhow::ensure!(answer.text().contains("no configuration"), "{}", answer.text());
        Ok(())
    })
    .await;
    running.signal(Signal::SIGTERM);
    assert_eq!(running.exit_code().await, Some(0));
}

/// The same program, started by `prlimit`, which replaces itself by it.
fn limited(program: &Command) -> Command {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={LIMIT}:{LIMIT}")).arg(program.get_program()).args(program.get_args());
    limited.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    limited.stdin(Stdio::null());
    limited
}
