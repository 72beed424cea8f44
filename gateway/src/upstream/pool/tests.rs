//! The pool against servers on loopback.

use std::net::TcpListener as Reserved;
use std::path::Path;

use h2::server::Builder;
use model::CaCertificate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig};
use socket2::SockRef;
use testkit::certs::{self, Authority, Pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::message::Framing;
use crate::upstream::answer::RequestKind;
use crate::upstream::testing::{LIMITS, Server, TIMEOUTS, body, flush, ok, response};
use crate::upstream::tls::UpstreamTls;
use crate::upstream::{self, Host};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

mod tls;

fn pool() -> Arc<Pool> {
    with_limits(100, 100)
}

fn with_limits(idle: usize, idle_of_upstream: usize) -> Arc<Pool> {
    Arc::new(Pool::new(PoolLimits { idle, idle_of_upstream }, LIMITS))
}

/// A server whose connections the test holds.
struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    async fn expect_no_more(&self) {
        let more = timeout(Duration::from_millis(20), self.listener.accept()).await;
        assert!(more.is_err(), "no connection comes");
    }
}

async fn connect(pool: &Arc<Pool>, terms: &Arc<Terms>, address: SocketAddr) -> Upstream {
    let mut upstream = pool.connect(terms, &[address], TIMEOUTS).await.unwrap();
    begin(&mut upstream);
    upstream
}

fn begin(upstream: &mut Upstream) {
    match upstream {
        Upstream::Http1(http1) => {
            http1.head().extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            http1.begin(Framing::Empty, RequestKind::default());
        }
        Upstream::Http2(http2) => {
            http2.begin(http::Request::get("https://localhost/").body(()).unwrap(), true);
        }
    }
}

/// Lets the server answer on `stream`, and ends the exchange.
async fn complete(mut upstream: Upstream, stream: &mut TcpStream) {
    let mut request = [0; 18];
    flush(&mut upstream).await.unwrap();
    stream.read_exact(&mut request).await.unwrap();
    stream.write_all(OK).await.unwrap();
    response(&mut upstream).await.unwrap();
    assert_eq!(body(&mut upstream).await.unwrap(), b"ok");
    upstream.release();
}

#[tokio::test]
async fn connection_is_reused_under_the_same_terms() {
    let (pool, server) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http1);
    let first = connect(&pool, &terms, server.address).await;
    let mut stream = server.accept().await;
    assert!(!first.was_reused());
    complete(first, &mut stream).await;
    for _ in 0..3 {
        let again = connect(&pool, &terms, server.address).await;
        assert!(again.was_reused());
        complete(again, &mut stream).await;
    }
    server.expect_no_more().await;
    // Another address has no part in it.
    let other = Listener::start().await;
    assert!(!connect(&pool, &terms, other.address).await.was_reused());
}

#[tokio::test]
async fn incomplete_exchange_closes_its_connection() {
    let (pool, server) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http1);
    let first = connect(&pool, &terms, server.address).await;
    let mut stream = server.accept().await;
    first.release();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(!connect(&pool, &terms, server.address).await.was_reused());
}

#[tokio::test]
async fn connection_that_ended_or_was_written_to_is_not_reused() {
    let (pool, server) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http1);
    for stray in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let first = connect(&pool, &terms, server.address).await;
        let mut stream = server.accept().await;
        complete(first, &mut stream).await;
        stream.write_all(stray).await.unwrap();
        if stray.is_empty() {
            drop(stream);
        }
        until(|| pool.shards.iter().any(|shard| shard.lock().idle.has_stale())).await;
        assert!(!connect(&pool, &terms, server.address).await.was_reused());
        server.accept().await;
    }
}

#[tokio::test]
async fn last_used_connection_is_taken_first_and_old_ones_are_closed() {
    let (pool, server) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http1);
    let (mut used, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        used.push(connect(&pool, &terms, server.address).await);
        streams.push(server.accept().await);
    }
    for (upstream, stream) in used.into_iter().zip(&mut streams) {
        complete(upstream, stream).await;
    }
    complete(connect(&pool, &terms, server.address).await, &mut streams[2]).await;
    pool.sweep_once(Instant::now() + IDLE - Duration::from_secs(1));
    assert_eq!(pool.idle.get(), 3);
    pool.sweep_once(Instant::now() + IDLE);
    assert_eq!(pool.idle.get(), 0);
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    }
    assert!(pool.shards.iter().all(|shard| shard.lock().idle.is_empty()));
}

#[tokio::test]
async fn sweep_closes_what_the_upstream_has_ended() {
    let (pool, server) = (pool(), Listener::start().await);
    let terms = Terms::plain(Protocol::Http1);
    let first = connect(&pool, &terms, server.address).await;
    let mut stream = server.accept().await;
    complete(first, &mut stream).await;
    drop(stream);
    until(|| pool.idle.get() == 0).await;
}

#[tokio::test]
async fn idle_connections_have_bounds() {
    for (limits, idle) in [((2, 9), 2), ((9, 2), 2), ((0, 9), 0), ((9, 0), 0)] {
        let (pool, server) = (with_limits(limits.0, limits.1), Listener::start().await);
        let terms = Terms::plain(Protocol::Http1);
        let (mut used, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            used.push(connect(&pool, &terms, server.address).await);
            streams.push(server.accept().await);
        }
        for (upstream, stream) in used.into_iter().zip(&mut streams) {
            complete(upstream, stream).await;
        }
        assert_eq!(pool.idle.get(), idle, "{limits:?}");
        // The oldest were closed.
        for stream in &mut streams[..4 - idle] {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn address_that_refuses_is_passed_over_and_then_tried_last() {
    let (pool, server) = (pool(), Listener::start().await);
    let reserved = Reserved::bind("127.0.0.1:0").unwrap();
    let refusing = reserved.local_addr().unwrap();
    drop(reserved);
    let terms = Terms::plain(Protocol::Http1);
    let addresses = [refusing, server.address];
    let mut first = pool.connect(&terms, &addresses, TIMEOUTS).await.unwrap();
    let mut stream = server.accept().await;
    begin(&mut first);
    complete(first, &mut stream).await;
    assert!(pool.connect(&terms, &addresses, TIMEOUTS).await.unwrap().was_reused());
    let failed = pool.connect(&terms, &[refusing], TIMEOUTS).await.unwrap_err();
    assert!(matches!(failed, UpstreamFailure::Connect(_)) && failed.is_harmless(), "{failed}");
    let none = pool.connect(&terms, &[], TIMEOUTS).await.unwrap_err();
    assert!(matches!(none, UpstreamFailure::Connect(_)), "{none}");
}

/// Waits for something that another task does.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.expect("it happens");
}
