//! A client's connection, in each of the compared protocols.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use benches::stage;
use bytes::Bytes;
use h2::SendStream;
use h2::client::SendRequest;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use testkit::wait;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::Identity;

/// The protocol between client and proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS 1.3.
    Https,
    /// HTTP/2 over TLS 1.3.
    Http2,
}

impl Protocol {
    pub(crate) fn is_tls(self) -> bool {
        self != Self::Http
    }

    fn alpn(self) -> &'static [u8] {
        if self == Self::Http2 { b"h2" } else { b"http/1.1" }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP/1.1",
            Self::Https => "HTTP/1.1 over TLS",
            Self::Http2 => "HTTP/2 over TLS",
        })
    }
}

/// A request.
pub(crate) struct Ask {
    pub(crate) host: String,
    pub(crate) target: String,
    /// The API key, which is sent over HTTP/1.1 only.
    pub(crate) key: Option<String>,
    /// The body, sent with `POST`; without one the request is a `GET`.
    pub(crate) body: Option<Bytes>,
    /// Length of the answer's body in bytes.
    pub(crate) answer: usize,
}

impl Ask {
    fn method(&self) -> &'static str {
        if self.body.is_some() { "POST" } else { "GET" }
    }
}

/// An open connection, or a stream's share of one.
pub(crate) enum Client {
    Http(Http1<TcpStream>),
    Https(Box<Http1<TlsStream<TcpStream>>>),
    Http2(SendRequest<Bytes>),
}

/// A connection with one request at a time.
pub(crate) struct Http1<S> {
    stream: S,
    buffer: Vec<u8>,
}

/// The number of streams that share one HTTP/2 connection.
const STREAMS: usize = 8;

/// Opens connections for `count` requests at a time. Spawns the drivers of HTTP/2 connections into `drivers`.
pub(crate) async fn connect(
    protocol: Protocol,
    to: SocketAddr,
    identity: &Identity,
    count: usize,
    drivers: &mut JoinSet<Result<(), h2::Error>>,
) -> Vec<Client> {
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        match protocol {
            Protocol::Http => clients.push(Client::Http(Http1::new(stream))),
            Protocol::Https => {
                let stream = handshake(stream, protocol, identity).await.unwrap();
                clients.push(Client::Https(Box::new(Http1::new(stream))));
            }
            Protocol::Http2 => {
                let stream = handshake(stream, protocol, identity).await.unwrap();
                let send = open_http2(stream, drivers).await;
                clients.extend((0..STREAMS).map(|_| Client::Http2(send.clone())));
            }
        }
    }
    clients
}

/// Waits until a proxy that has just been started answers in this protocol.
pub(crate) async fn wait_until_open(protocol: Protocol, to: SocketAddr, identity: &Identity) {
    wait::eventually(Duration::from_secs(60), || async {
        let stream = TcpStream::connect(to).await?;
        if protocol.is_tls() {
            handshake(stream, protocol, identity).await?;
        }
        anyhow::Ok(())
    })
    .await;
}

/// Opens an HTTP/2 connection with windows so wide that the proxy never waits for the client.
async fn open_http2(
    stream: TlsStream<TcpStream>,
    drivers: &mut JoinSet<Result<(), h2::Error>>,
) -> SendRequest<Bytes> {
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(2 << 20).initial_connection_window_size(32 << 20);
    let (send, connection) = builder.handshake(stream).await.unwrap();
    drivers.spawn(connection);
    send
}

async fn handshake(
    stream: TcpStream,
    protocol: Protocol,
    identity: &Identity,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(identity.cert.clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    let name = ServerName::try_from(stage::host(0)).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.alpn()));
    Ok(stream)
}

impl Client {
    /// Sends one request and reads all of its answer.
    pub(crate) async fn ask(&mut self, ask: &Ask) {
        match self {
            Self::Http(client) => client.ask(ask).await,
            Self::Https(client) => client.ask(ask).await,
            Self::Http2(send) => ask_http2(send, ask).await,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    fn new(stream: S) -> Self {
        Self { stream, buffer: vec![0; 64 << 10] }
    }

    async fn ask(&mut self, ask: &Ask) {
        let (method, host, target) = (ask.method(), &ask.host, &ask.target);
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: */*\r\n");
        if let Some(key) = &ask.key {
            write!(request, "apikey: {key}\r\n").unwrap();
        }
        if let Some(body) = &ask.body {
            write!(request, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        request.push_str("\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        if let Some(body) = &ask.body {
            self.stream.write_all(body).await.unwrap();
        }
        let mut filled = 0;
        let header = loop {
            filled += self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            if let Some(end) = self.buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = || String::from_utf8_lossy(&self.buffer[..header]);
        assert!(self.buffer.starts_with(b"HTTP/1.1 200"), "{}", text());
        let mut body = filled - header;
        while body < ask.answer {
            body += self.stream.read(&mut self.buffer).await.unwrap();
        }
    }
}

async fn ask_http2(send: &mut SendRequest<Bytes>, ask: &Ask) {
    let uri = format!("https://{}{}", ask.host, ask.target);
    let mut request = http::Request::builder().method(ask.method()).uri(uri);
    request = request.header("user-agent", "bench").header("accept", "*/*");
    if let Some(body) = &ask.body {
        request = request.header("content-length", body.len());
    }
    std::future::poll_fn(|context| send.poll_ready(context)).await.unwrap();
    let (response, stream) = send.send_request(request.body(()).unwrap(), ask.body.is_none()).unwrap();
    if let Some(body) = &ask.body {
        send_body(stream, body.clone()).await;
    }
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut read = 0;
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        read += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(read, ask.answer);
}

/// Sends a body as the proxy's window allows.
async fn send_body(mut stream: SendStream<Bytes>, mut body: Bytes) {
    stream.reserve_capacity(body.len());
    while !body.is_empty() {
        let capacity = std::future::poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap();
        let part = body.split_to(capacity.min(body.len()));
        stream.send_data(part, body.is_empty()).unwrap();
    }
}
