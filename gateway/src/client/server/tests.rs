//! Connections over loopback, with Pingora's phases in front of a proxy that answers by itself.

use std::future::poll_fn;
use std::net::SocketAddr;

use pingora::Result;
use pingora::apps::HttpServerOptions;
use pingora::protocols::l4::stream::Stream as Connection;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use prometheus::Registry;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::client::{ClientLimits, HeaderLimits, PaceTerms};
use crate::listener::Handshake;
use crate::live::Live;
use crate::message::Framing;
use crate::metrics::Metrics;

const HEADER_TIME: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_secs(10);
const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

/// Answers each request with its target, except those for `/gone`, whose client it drops.
struct Mirror;

#[async_trait]
impl ProxyHttp for Mirror {
    type CTX = Option<Box<Incoming>>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    async fn early_request_filter(&self, session: &mut Session, context: &mut Self::CTX) -> Result<()> {
        *context = Slot::take(session);
        assert!(Slot::take(session).is_none());
        Ok(())
    }

    async fn request_filter(&self, _: &mut Session, context: &mut Self::CTX) -> Result<bool> {
        let Some(incoming) = context else { return Ok(true) };
        let Incoming { request, client, ends, .. } = &mut **incoming;
        assert!(ends.client.ip().is_loopback() && ends.server_name.is_none());
        let target = request.target.clone();
        match client {
            Client::Http1(client) => {
                let keeps_alive = if client.keeps_alive() { "keep-alive" } else { "close" };
                let length = target.len();
                let header = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {keeps_alive}\r\n\r\n"
                );
                client.head().extend_from_slice(header.as_bytes());
                client.begin_write(Framing::Length(target.len() as u64));
            }
            Client::Http2(client) => client.send_head(http::Response::new(()), false),
        }
        client.queue(target);
        client.queue_end(None);
        poll_fn(|task| client.poll_flush(task)).await.ok();
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        unreachable!("no request is forwarded")
    }

    async fn logging(&self, session: &mut Session, _: Option<&pingora::Error>, context: &mut Self::CTX) {
        if let Some(incoming) = context.take()
            && incoming.request.target != "/gone"
        {
            Slot::give_back(session, incoming.client);
        }
    }
}

/// A running server.
struct Running {
    address: SocketAddr,
    metrics: Metrics,
    draining: Draining,
    _connections: JoinSet<()>,
}

impl Running {
    async fn start(most: usize) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let (draining, metrics) = (Draining::new(), Metrics::new(&Registry::new()).unwrap());
        let mut proxy = http_proxy(&Arc::new(ServerConf::default()), Mirror);
        let mut options = HttpServerOptions::default();
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        let server = Arc::new(ClientServer::new(proxy, terms(most, &metrics, &draining)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mut connections, watch) = (JoinSet::new(), draining.watch());
        connections.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (server, watch) = (server.clone(), watch.clone());
                connections.spawn(async move {
                    let mut stream = Connection::from(stream);
                    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&stream);
                    let digest = pingora::protocols::SocketDigest::from_raw_fd(descriptor);
                    pingora::protocols::GetSocketDigest::set_socket_digest(&mut stream, digest);
                    server.process_new(Box::new(stream), &watch).await;
                });
            }
        });
        Self { address, metrics, draining, _connections: connections }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn terms(most: usize, metrics: &Metrics, draining: &Draining) -> ServerTerms {
    let header = HeaderLimits { time: HEADER_TIME, target_bytes: 100, bytes: 1000, fields: 5 };
    let pace = PaceTerms { body_timeout: DEADLINE, min_rate: 0 };
    let http2 = http2::Settings {
        handshake_timeout: HEADER_TIME,
        idle_timeout: DEADLINE,
        pace,
        max_target_bytes: 100,
        max_header_bytes: 1000,
        max_header_fields: 5,
        max_streams: 10,
    };
    let connections = &metrics.connections;
    let handshake =
        Handshake::new(Arc::new(Live::new()), HEADER_TIME, Arc::default(), connections.tls_failed.clone());
    ServerTerms {
        connections: Arc::new(Limit::new(most, connections.active.clone())),
        secured: TlsListeners { addresses: Vec::new(), handshake },
        metrics: connections.clone(),
        refusals: None,
        http1: Arc::new(http1::Terms {
            limits: ClientLimits { header, pace, keepalive_timeout: DEADLINE },
            draining: draining.clone(),
            missed: connections.header_timeout.clone(),
            metrics: metrics.http.clone(),
        }),
        http2: http2::Connections::new(http2, metrics.http.clone(), connections.header_timeout.clone()),
        windows: Http2Limits { max_streams: 10, window: 65_535, buffer: 1 << 20 },
    }
}

fn answer(target: &str, connection: &str) -> String {
    let length = target.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{target}")
}

async fn expect(client: &mut TcpStream, text: &str) {
    let mut read = vec![0; text.len()];
    timeout(DEADLINE, client.read_exact(&mut read)).await.expect("an answer in time").unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

async fn rest(client: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    timeout(DEADLINE, client.read_to_end(&mut rest)).await.expect("an end in time").ok();
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn requests_of_a_connection_are_served_until_it_ends() {
    let server = Running::start(10).await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        client.write_all(GET).await.unwrap();
        expect(&mut client, &answer("/a", "keep-alive")).await;
    }
    let connect = b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\nGET /b HTTP/1.0\r\n\r\nGET /c HTTP/1.1\r\n";
    client.write_all(connect).await.unwrap();
    expect(&mut client, &answer("h:80", "keep-alive")).await;
    assert_eq!(rest(&mut client).await, answer("/b", "close"));
}

#[tokio::test]
async fn a_client_that_is_not_given_back_is_closed() {
    let server = Running::start(10).await;
    let mut client = server.connect().await;
    client.write_all(b"GET /gone HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut client).await, answer("/gone", "keep-alive"));
}

#[tokio::test]
async fn refusals_are_answered() {
    let server = Running::start(1).await;
    let mut client = server.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut second = server.connect().await;
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 503 "));
    assert!(rest(&mut client).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(server.metrics.connections.refused.get(), 1);
}

#[tokio::test]
async fn a_silent_client_is_left_and_counted() {
    let server = Running::start(10).await;
    for begin in [&b""[..], b"P", b"GET /", b"PRI * HTTP/2.0\r\n"] {
        let mut client = server.connect().await;
        client.write_all(begin).await.unwrap();
        assert_eq!(rest(&mut client).await, "");
    }
    assert_eq!(server.metrics.connections.header_timeout.get(), 4);
}

#[tokio::test]
async fn connections_without_a_request_end_when_told() {
    let server = Running::start(10).await;
    let (mut idle, fresh) = (server.connect().await, server.connect().await);
    idle.write_all(GET).await.unwrap();
    expect(&mut idle, &answer("/a", "keep-alive")).await;
    server.draining.begin();
    // A request that was on its way is still served, and is the last one.
    let mut last = server.connect().await;
    last.write_all(GET).await.unwrap();
    assert_eq!(rest(&mut last).await, answer("/a", "close"));
    server.draining.end_idle();
    for mut client in [idle, fresh] {
        assert_eq!(rest(&mut client).await, "");
    }
}

#[tokio::test]
async fn http2_is_told_by_its_preface() {
    let server = Running::start(10).await;
    let (client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    let get = async {
        let mut client = client.ready().await.unwrap();
        let request = http::Request::get("http://h/a").body(()).unwrap();
        let answer = client.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().data().await.unwrap().unwrap()
    };
    tokio::select! {
        body = get => assert_eq!(body, "/a"),
        ended = connection => panic!("{ended:?}"),
    }
}
