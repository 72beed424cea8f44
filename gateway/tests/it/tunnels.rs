//! Connections that change their protocol.

mod echo;
mod frames;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use testkit::origin::{Answer, Origin};
use tokio::task::JoinSet;

use self::echo::{Echo, upgraded};
use crate::support::{Gateway, at, route, service};

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_is_a_tunnel() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::upgrade("websocket"));
    echo_through_a_tunnel(gateway.address(), "hello".to_owned()).await;
}

/// Origins answer at once, on processors that are never idle. Now and then the answer is there before the
/// proxy has checked whether the request has ended, which once ended the tunnel (Pingora's issue 946).
#[tokio::test(flavor = "multi_thread")]
async fn no_tunnel_is_lost_under_load() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::upgrade("websocket"));
    let _busy = Busy::start();
    let mut tunnels = JoinSet::new();
    for number in 0..1000 {
        if tunnels.len() == 16 {
            tunnels.join_next().await.unwrap().unwrap();
        }
        tunnels.spawn(echo_through_a_tunnel(gateway.address(), format!("tunnel {number}")));
    }
    while let Some(tunnel) = tunnels.join_next().await {
        tunnel.unwrap();
    }
}

/// Runs each case of frames, good and bad, once against an echo server and once through the gateway. The
/// messages that the server reads, its answer and the end of the connection must be the same, and as
/// expected.
#[tokio::test(flavor = "multi_thread")]
async fn frames_fare_as_without_a_gateway() {
    let (gateway, server) = (Gateway::start(), Echo::start().await);
    gateway.serve(at(1, server.address), route(1, "/"));
    let mut failures = Vec::new();
    for case in frames::cases() {
        let direct = server.play(server.address, &case).await;
        let through = server.play(gateway.address(), &case).await;
        if direct != through || !direct.is(case.expected) {
            failures
                .push(format!("{}: expected {:?}\n  {direct:?}\n  {through:?}", case.name, case.expected));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// An upstream that reads no frames sends all bytes back: bad ones pass towards the client, too.
#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_tunnel_comes_back() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::upgrade("websocket"));
    for case in frames::cases() {
        let mut connection = upgraded(gateway.address()).await;
        for piece in case.pieces.concat().chunks(16 * 1024) {
            connection.write(piece).await.unwrap();
            assert!(connection.read_exact(piece.len()).await.unwrap() == piece, "{}", case.name);
        }
    }
}

async fn echo_through_a_tunnel(gateway: SocketAddr, message: String) {
    let mut connection = upgraded(gateway).await;
    for _ in 0..2 {
        connection.write(message.as_bytes()).await.unwrap();
        assert_eq!(connection.read_exact(message.len()).await.unwrap(), message.as_bytes());
    }
}

/// Keeps every processor busy until it is dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let processors = thread::available_parallelism().unwrap().get();
        let spin = |stop: Arc<AtomicBool>| move || while !stop.load(Ordering::Relaxed) {};
        Self { threads: (0..processors).map(|_| thread::spawn(spin(stop.clone()))).collect(), stop }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}
