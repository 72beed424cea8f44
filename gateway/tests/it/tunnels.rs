//! Connections that change their protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use testkit::http::Connection;
use testkit::origin::{Answer, Origin};
use tokio::task::JoinSet;

use crate::support::{Gateway, route, service};

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_is_a_tunnel() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::upgrade("websocket"));
    echo_through_a_tunnel(gateway.address(), "hello".to_owned()).await;
}

/// Of origins that answer at once, on processors that are never idle: now and then the answer is there before
/// the proxy has looked whether the request has ended, which once ended the tunnel (Pingora's issue 946).
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

async fn echo_through_a_tunnel(gateway: SocketAddr, message: String) {
    let mut connection = Connection::open(gateway).await.unwrap();
    let upgrade = b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    connection.write(upgrade).await.unwrap();
    let response = connection.read_response(false).await.unwrap().expect(101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
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
