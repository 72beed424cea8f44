//! The connection under the wire: a WebSocket over mutual TLS, opened by a data plane. It carries bytes and
//! does not know their meaning.
//!
//! Each message is one binary frame of the protocol. [`Link::next`] answers pings and sends the messages of
//! [`Link::queue`] while it waits: a link also receives during a long send.

mod count;
mod error;
mod pair;
mod pulse;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{StatusCode, Uri};
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream, server};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use crate::identity::{PeerCertificate, SERVER_NAME};
use crate::text::one_line;

use count::{Counted, Traffic};
pub use error::LinkError;
pub use pair::{pair, slow_pair};
use pulse::{Pulse, Watched};

/// The path of the cluster's endpoint. Any other path answers 404.
pub const PATH: &str = "/v1/gibbon";

/// The time that a peer has to answer a close.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The most unsent bytes in the kernel. With more, a slow peer takes them in bursts, and the bytes sent say
/// little about the bytes received.
const UNSENT: u32 = 128 * 1024;

/// The most bytes of a close reason: those of a control frame (RFC 6455, section 5.5), less the code.
const MAX_REASON: usize = 123;

/// A connection to a trusted peer.
#[derive(Debug)]
pub struct Link {
    socket: Socket,
    traffic: Arc<Traffic>,
    pulse: Arc<Pulse>,
    closing: Closing,
    /// Messages that the socket has not accepted yet.
    queue: VecDeque<Message>,
    /// Start of the time in which there has been something to send.
    busy: Option<Instant>,
}

/// An event of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message has arrived.
    Message(Bytes),
    /// The kernel has accepted every queued message.
    Sent,
    /// The peer has closed; [`Link::closing`] returns the code and the reason.
    Closed,
}

/// The peer of a link.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address that the peer connects from.
    pub address: SocketAddr,
    /// The peer's certificate; the peer has proved that it holds the key.
    pub certificate: PeerCertificate,
    /// Path and query of the request that opened the link.
    pub uri: Uri,
}

/// Bounds on the peer of a link.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of a message; a longer one ends the link. The wire's frames are shorter.
    pub message: usize,
    /// Timeout for the peer's machine to answer. A machine that is gone does not answer, and the next address
    /// may.
    pub connect: Duration,
    /// Timeout from the first packet to the end of the WebSocket handshake.
    pub handshake: Duration,
    /// How long a connection may be silent before the kernel probes the peer.
    pub keepalive: Duration,
}

/// The peer's close, if it has closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    /// The peer has not closed.
    #[default]
    Open,
    /// The peer has closed with this code and reason.
    Code(u16, String),
    /// The peer has closed without a code.
    NoCode,
}

type Socket = WebSocketStream<Counted<Box<dyn Stream>>>;
type Tls = TlsStream<Watched<TcpStream>>;

/// The byte stream of a connection: TLS, or memory in tests.
trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl Stream for Tls {}

/// Connects to `host:port`, within the default [`Limits`].
///
/// # Errors
///
/// The peer cannot be reached, is not trusted, does not trust this node, is not a control plane, or exceeds a
/// timeout.
pub async fn connect(address: &str, config: Arc<ClientConfig>) -> Result<Link, LinkError> {
    connect_with(&Limits::default(), address, config).await
}

/// Connects like [`connect`], with other limits.
///
/// # Errors
///
/// Those of [`connect`].
pub async fn connect_with(
    limits: &Limits,
    address: &str,
    config: Arc<ClientConfig>,
) -> Result<Link, LinkError> {
    let uri: Uri = format!("wss://{address}{PATH}").parse().map_err(|_invalid| LinkError::Address)?;
    let name = ServerName::try_from(SERVER_NAME).map_err(|_invalid| LinkError::Address)?;
    within(limits, async {
        let connecting = tokio::time::timeout(limits.connect, TcpStream::connect(address));
        let stream = connecting.await.map_err(|_elapsed| LinkError::Timeout)?.map_err(LinkError::Tcp)?;
        prepare(&stream, limits)?;
        let (stream, pulse) = Watched::new(stream);
        let tls = TlsConnector::from(config).connect(name, stream).await.map_err(LinkError::from_tls)?;
        let (stream, traffic) = Counted::new(boxed(tls.into()));
        let (socket, _) = client_async_with_config(uri, stream, Some(websocket(limits)))
            .await
            .map_err(LinkError::from_websocket)?;
        Ok(Link::new(socket, traffic, pulse))
    })
    .await
}

/// Accepts a link on a connection of a listener, within the default [`Limits`].
///
/// # Errors
///
/// The peer is not trusted, does not trust this node, requests another path, or exceeds a timeout.
pub async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(Link, Peer), LinkError> {
    accept_with(&Limits::default(), stream, config).await
}

/// Accepts like [`accept`], with other limits.
///
/// # Errors
///
/// Those of [`accept`].
pub async fn accept_with(
    limits: &Limits,
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<(Link, Peer), LinkError> {
    within(limits, async {
        prepare(&stream, limits)?;
        let address = stream.peer_addr().map_err(LinkError::Tcp)?;
        let (stream, pulse) = Watched::new(stream);
        let tls = TlsAcceptor::from(config).accept(stream).await.map_err(LinkError::from_tls)?;
        let certificate = peer_leaf(&tls)?;
        let (stream, traffic) = Counted::new(boxed(tls.into()));
        let mut uri = Uri::default();
        let socket = accept_hdr_async_with_config(stream, at_path(&mut uri), Some(websocket(limits)))
            .await
            .map_err(LinkError::from_websocket)?;
        let link = Link::new(socket, traffic, pulse);
        Ok((link, Peer { address, certificate, uri }))
    })
    .await
}

impl Default for Limits {
    /// Messages of 1 MiB, 3 s to connect (a lost packet is sent again after 1 s), 10 s for the handshake,
    /// keepalive after 30 s.
    fn default() -> Self {
        Self {
            message: 1024 * 1024,
            connect: Duration::from_secs(3),
            handshake: Duration::from_secs(10),
            keepalive: Duration::from_secs(30),
        }
    }
}

impl Link {
    fn new(socket: Socket, traffic: Arc<Traffic>, pulse: Arc<Pulse>) -> Self {
        Self { socket, traffic, pulse, closing: Closing::Open, queue: VecDeque::new(), busy: None }
    }

    /// Queues a message that [`Link::next`] sends, after those before it.
    pub fn queue(&mut self, message: Bytes) {
        self.queue.push_back(Message::Binary(message));
        self.busy.get_or_insert_with(Instant::now);
    }

    /// Queues a ping, which makes any live peer give a sign of life; [`Link::next`] sends it.
    pub fn ping(&mut self) {
        self.queue.push_front(Message::Ping(Bytes::new()));
        self.busy.get_or_insert_with(Instant::now);
    }

    /// Sends queued messages and receives, until an event happens.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The link is lost without a close, or the peer breaks the protocol, for example with a text message.
    pub async fn next(&mut self) -> Result<Event, LinkError> {
        let event = std::future::poll_fn(|cx| self.poll_event(cx)).await?;
        if event == Event::Closed {
            self.finish().await;
        }
        Ok(event)
    }

    /// Sends one message and waits until the kernel has accepted all of it. Receives nothing in that time.
    ///
    /// # Errors
    ///
    /// The link is closed or lost.
    pub async fn send(&mut self, message: Bytes) -> Result<(), LinkError> {
        self.queue(message);
        std::future::poll_fn(|cx| self.poll_send(cx)).await
    }

    /// Receives the next message. Returns `None` when the peer has closed: [`Link::closing`] has the reason.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// Those of [`Link::next`].
    pub async fn recv(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            match self.next().await? {
                Event::Message(message) => return Ok(Some(message)),
                Event::Sent => {}
                Event::Closed => return Ok(None),
            }
        }
    }

    /// The time of the peer's last sign of life: a byte arrived, of any message, or the peer made room for
    /// one from here.
    pub fn last_heard(&self) -> Instant {
        self.pulse.heard()
    }

    /// The time since when the peer has accepted nothing, though there is something to send.
    pub fn stuck_since(&self) -> Option<Instant> {
        self.busy.map(|busy| busy.max(self.pulse.taken()))
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, LinkError>> {
        if self.busy.is_some() && self.poll_send(cx)?.is_ready() {
            return Poll::Ready(Ok(Event::Sent));
        }
        loop {
            let message = ready!(self.socket.poll_next_unpin(cx)).transpose();
            return Poll::Ready(match message.map_err(LinkError::from_websocket)? {
                Some(Message::Binary(message)) => Ok(Event::Message(message)),
                Some(Message::Text(_)) => Err(LinkError::Protocol("a text message".to_owned())),
                Some(Message::Close(frame)) => {
                    self.closing = Closing::of(frame);
                    Ok(Event::Closed)
                }
                // Tungstenite answers pings itself.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                None => Ok(Event::Closed),
            });
        }
    }

    /// Passes queued messages to the socket, and the socket's bytes to the kernel. The socket keeps the rest
    /// of a message that has begun.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.queue.is_empty() {
            ready!(self.socket.poll_ready_unpin(cx)).map_err(LinkError::from_websocket)?;
            if let Some(message) = self.queue.pop_front() {
                self.socket.start_send_unpin(message).map_err(LinkError::from_websocket)?;
            }
        }
        ready!(self.socket.poll_flush_unpin(cx)).map_err(LinkError::from_websocket)?;
        self.busy = None;
        Poll::Ready(Ok(()))
    }

    /// Closes the link with a code and a reason, and waits a moment for the peer's close.
    ///
    /// The link is over whatever fails; messages that still arrive are dropped.
    pub async fn close(&mut self, code: u16, reason: &str) {
        self.queue.clear();
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let closing = self.socket.send(Message::Close(Some(frame)));
        if let Ok(Ok(())) = tokio::time::timeout(CLOSE_GRACE, closing).await {
            self.finish().await;
        }
    }

    /// The peer's close, as far as it was received.
    pub fn closing(&self) -> &Closing {
        &self.closing
    }

    /// The peer's close as the end of a sentence: `: <reason> (<code>)`, or nothing.
    pub fn closed_because(&self) -> String {
        self.closing.to_string()
    }

    /// Bytes received and sent so far, with the WebSocket's handshake and framing, without TLS.
    pub fn transferred(&self) -> (u64, u64) {
        (self.traffic.received(), self.traffic.sent())
    }

    /// The end of the closing handshake: sends this side's close and receives the peer's.
    async fn finish(&mut self) {
        let rest = async {
            while let Some(Ok(_)) = self.socket.next().await {}
            // RFC 6455, section 7.1.1: the server ends the connection, and a client waits for that.
            self.socket.get_mut().shutdown().await
        };
        // A peer that does not answer is not awaited, and one that is gone is no error here.
        tokio::time::timeout(CLOSE_GRACE, rest).await.map(Result::ok).ok();
    }
}

impl Closing {
    fn of(frame: Option<CloseFrame>) -> Self {
        frame.map_or(Self::NoCode, |frame| Self::Code(frame.code.into(), one_line(&frame.reason)))
    }
}

/// Formats the end of a sentence: `: <reason> (<code>)`, or nothing.
impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code, reason) if reason.is_empty() => write!(f, " ({code})"),
            Self::Code(code, reason) => write!(f, ": {reason} ({code})"),
            Self::Open | Self::NoCode => Ok(()),
        }
    }
}

fn boxed(stream: Tls) -> Box<dyn Stream> {
    Box::new(stream)
}

async fn within<T>(
    limits: &Limits,
    handshake: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    tokio::time::timeout(limits.handshake, handshake).await.unwrap_or(Err(LinkError::Timeout))
}

fn prepare(stream: &TcpStream, limits: &Limits) -> Result<(), LinkError> {
    let keepalive = TcpKeepalive::new().with_time(limits.keepalive).with_interval(limits.keepalive);
    SockRef::from(stream).set_tcp_keepalive(&keepalive).map_err(LinkError::Tcp)?;
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT).map_err(LinkError::Tcp)?;
    stream.set_nodelay(true).map_err(LinkError::Tcp)
}

fn websocket(limits: &Limits) -> WebSocketConfig {
    WebSocketConfig::default()
        // Allocated at once, for each of up to about a thousand data planes; a TLS record is not longer.
        .read_buffer_size(16 * 1024)
        // Every message is flushed at once: the buffer holds one message and a pong or a close.
        .write_buffer_size(0)
        .max_write_buffer_size(2 * limits.message)
        .max_message_size(Some(limits.message))
        .max_frame_size(Some(limits.message))
}

fn peer_leaf(stream: &server::TlsStream<Watched<TcpStream>>) -> Result<PeerCertificate, LinkError> {
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let certificate = certificate.ok_or(LinkError::Tls(rustls::Error::NoCertificatesPresented))?;
    PeerCertificate::of(certificate).map_err(LinkError::Protocol)
}

/// Accepts the one path, and notes the requested URI.
#[expect(clippy::result_large_err, reason = "the type is what tungstenite asks for")]
fn at_path(asked: &mut Uri) -> impl FnOnce(&Request, Response) -> Result<Response, ErrorResponse> {
    |request, response| {
        if request.uri().path() != PATH {
            let mut refusal = ErrorResponse::new(Some(format!("there is nothing here but {PATH}\n")));
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            return Err(refusal);
        }
        *asked = request.uri().clone();
        Ok(response)
    }
}

#[cfg(test)]
mod tests;
