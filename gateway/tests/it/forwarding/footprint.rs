//! The memory of idle connections, of the real program. The figures are printed. The bounds are generous, as
//! they hold for builds without optimisation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::origin::{Answer, Origin};
use testkit::wait;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::raw::Peer;
use super::{Program, Record, number};
use crate::control_plane;

/// Time in which the buffers of connections that have become idle are given back.
const SETTLED: Duration = Duration::from_secs(10);
/// Bytes for a connection.
const MOST: u64 = 16 << 10;
/// Connections that come first: what is allocated once is no connection's.
const FIRST_CLIENTS: usize = 50;
/// More of them, as applying so large a configuration leaves free memory behind.
const FIRST_UPSTREAMS: usize = 1000;

/// Idle connections of clients; figures are taken with 10,000.
fn clients() -> usize {
    number("GIBBON_TEST_CONNECTIONS", 2000)
}

/// Idle connections to an upstream.
fn upstreams() -> usize {
    number("GIBBON_TEST_UPSTREAM_CONNECTIONS", 1000)
}

async fn ask(client: &mut Peer, path: &str) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")).await;
    let head = client.status(200).await;
    client.exact(head.value("content-length").parse().unwrap()).await;
}

/// Waits until the program holds no more than `MOST` for each connection, and prints what it holds.
async fn assert_settles(program: &Program, before: u64, connections: usize, of: &str) {
    let each = || program.resident().saturating_sub(before) / connections as u64;
    let at_first = each();
    let settled = wait::eventually(SETTLED, || {
        let now = each();
        std::future::ready(if now <= MOST { Ok(now) } else { Err(format!("{now} bytes for a connection")) })
    });
    let settled = settled.await;
    eprintln!("{connections} idle connections of {of}: {settled} bytes for each, {at_first} at first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_client_takes_little_memory() {
    let origin = Origin::start();
    origin.answer(Answer::status(200).body("hello"));
    let program = Program::start(origin.address(), &[("proxy.keepalive_timeout", "10m")]).await;
    let mut first: Vec<Peer> = Vec::new();
    for _ in 0..FIRST_CLIENTS {
        first.push(Peer::connect(program.address()).await);
        ask(first.last_mut().unwrap(), "/").await;
    }
    drop(first);
    let before = program.resident();
    let mut idle = Vec::with_capacity(clients());
    for _ in 0..clients() {
        let mut client = Peer::connect(program.address()).await;
        ask(&mut client, "/").await;
        idle.push(client);
    }
    assert_settles(&program, before, idle.len(), "clients").await;
    let active = program.gateway.node.metric("gibbon_connections_active").await;
    assert_eq!(active, idle.len() as f64);
}

/// Upstreams that keep their connections. Each has one: the requests come one after the other, so that the
/// memory of requests in flight does not count.
struct Keeping {
    addresses: Vec<SocketAddr>,
    open: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Keeping {
    async fn start(upstreams: usize) -> Self {
        let (mut addresses, mut tasks) = (Vec::with_capacity(upstreams), JoinSet::new());
        let open = Arc::<AtomicUsize>::default();
        for _ in 0..upstreams {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap());
            tasks.spawn(serve(listener, Arc::clone(&open)));
        }
        Self { addresses, open, _tasks: tasks }
    }

    /// A service and a route for each.
    fn records(&self) -> Vec<Record> {
        let numbered = (1..).zip(&self.addresses);
        let both = |(id, address): (u128, &SocketAddr)| {
            [control_plane::service(id, *address), control_plane::route(id, id, &format!("/{id}"))]
        };
        numbered.flat_map(both).collect()
    }
}

/// Serves one connection after the other, and counts the one that is open.
async fn serve(listener: TcpListener, open: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut peer = Peer::of(stream);
        open.fetch_add(1, Ordering::Relaxed);
        while peer.try_head().await {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        }
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connection_to_an_upstream_takes_little_memory() {
    let upstream = Keeping::start(FIRST_UPSTREAMS + upstreams()).await;
    let program = Program::with(&upstream.records(), &[]).await;
    let mut client = Peer::connect(program.address()).await;
    for id in 1..=FIRST_UPSTREAMS {
        ask(&mut client, &format!("/{id}")).await;
    }
    let before = program.resident();
    for id in FIRST_UPSTREAMS + 1..=FIRST_UPSTREAMS + upstreams() {
        ask(&mut client, &format!("/{id}")).await;
    }
    assert_settles(&program, before, upstreams(), "upstreams").await;
    assert_eq!(
        upstream.open.load(Ordering::Relaxed),
        FIRST_UPSTREAMS + upstreams(),
        "connections that are kept"
    );
}
