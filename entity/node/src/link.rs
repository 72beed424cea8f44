//! The connection under the wire: a WebSocket over mutual TLS, dialled by a data plane. Bytes in, bytes out;
//! what they mean is not known here.
//!
//! Each message is one binary frame of the protocol. Pings are answered while [`Link::next`] is being awaited,
//! which also sends what [`Link::queue`] was given: a link that sends for long receives meanwhile.

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
pub use pair::pair;
use pulse::{Pulse, Watched};

/// The path of the cluster's endpoint. Any other is answered 404.
pub const PATH: &str = "/v1/gibbon";

/// How long a peer may take to answer a close before it is left alone.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Bytes of ours that may wait in the kernel before they are on their way. With more, a slow peer takes them in
/// lumps, and what has been sent says little about what has arrived.
const UNSENT: u32 = 128 * 1024;

/// Greatest length of a close reason in bytes: that of a control frame (RFC 6455 section 5.5), less the code.
const MAX_REASON: usize = 123;

/// A connection to a peer that is trusted.
#[derive(Debug)]
pub struct Link {
    socket: Socket,
    traffic: Arc<Traffic>,
    pulse: Arc<Pulse>,
    closing: Closing,
    /// Messages that the socket has not taken yet.
    queue: VecDeque<Message>,
    /// Since when there has been something to send.
    busy: Option<Instant>,
}

/// What happens on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message has come.
    Message(Bytes),
    /// The kernel has taken all that was queued.
    Sent,
    /// The peer has closed: [`Link::closing`] says how.
    Closed,
}

/// Who is at the other end of a link.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it connects from.
    pub address: SocketAddr,
    /// Its certificate, which it has shown to hold the key of.
    pub certificate: PeerCertificate,
    /// Path and query of the request that the link began with.
    pub uri: Uri,
}

/// What a peer may ask of us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message, in bytes; a longer one ends the link. The wire's frames are shorter.
    pub message: usize,
    /// Until the peer's machine answers: one that is gone does not, and the next address may.
    pub connect: Duration,
    /// From the first packet to the end of the WebSocket handshake.
    pub handshake: Duration,
    /// How long a silent connection stands before the kernel asks whether the peer is still there.
    pub keepalive: Duration,
}

/// Whether and how the peer has closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Closing {
    /// It has not.
    #[default]
    Open,
    /// With this code and reason.
    Code(u16, String),
    /// Without one.
    NoCode,
}

type Socket = WebSocketStream<Counted<Box<dyn Stream>>>;
type Tls = TlsStream<Watched<TcpStream>>;

/// A connection's bytes: those of TLS, or of memory in tests.
trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl Stream for Tls {}

/// Connects to `host:port`, within the default [`Limits`].
///
/// # Errors
///
/// The peer cannot be reached, is not trusted, does not trust us, is not a control plane, or all that
/// takes longer than the limit.
pub async fn connect(address: &str, config: Arc<ClientConfig>) -> Result<Link, LinkError> {
    connect_with(&Limits::default(), address, config).await
}

/// [`connect`] with other limits.
///
/// # Errors
///
/// As of [`connect`].
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

/// Takes a connection that a listener has accepted, within the default [`Limits`].
///
/// # Errors
///
/// The peer is not trusted, does not trust us, asks for another path, or takes too long.
pub async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(Link, Peer), LinkError> {
    accept_with(&Limits::default(), stream, config).await
}

/// [`accept`] with other limits.
///
/// # Errors
///
/// As of [`accept`].
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
    /// Messages of 1 MiB, 3 s to connect (a lost packet is repeated after one), 10 s for the handshake,
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

    /// Takes a message that [`Link::next`] is to send, after those before it.
    pub fn queue(&mut self, message: Bytes) {
        self.queue.push_back(Message::Binary(message));
        self.busy.get_or_insert_with(Instant::now);
    }

    /// Asks the peer for a sign of life, whatever it is doing; [`Link::next`] sends it.
    pub fn ping(&mut self) {
        self.queue.push_front(Message::Ping(Bytes::new()));
        self.busy.get_or_insert_with(Instant::now);
    }

    /// Sends what is queued and receives, until something has happened.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// The link is lost without a close, or the peer breaks the protocol, by a text message for one.
    pub async fn next(&mut self) -> Result<Event, LinkError> {
        let event = std::future::poll_fn(|cx| self.poll_event(cx)).await?;
        if event == Event::Closed {
            self.finish().await;
        }
        Ok(event)
    }

    /// Sends one message, and waits until the kernel has taken all of it; receives nothing meanwhile.
    ///
    /// # Errors
    ///
    /// The link is closed or lost.
    pub async fn send(&mut self, message: Bytes) -> Result<(), LinkError> {
        self.queue(message);
        std::future::poll_fn(|cx| self.poll_send(cx)).await
    }

    /// The next message, or `None` when the peer has closed: [`Link::closing`] then says how.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// As of [`Link::next`].
    pub async fn recv(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            match self.next().await? {
                Event::Message(message) => return Ok(Some(message)),
                Event::Sent => {}
                Event::Closed => return Ok(None),
            }
        }
    }

    /// When the peer last gave a sign of life: a byte came, of whatever, or it made room for one of ours.
    pub fn last_heard(&self) -> Instant {
        self.pulse.heard()
    }

    /// Since when the peer has taken nothing, though there is something to send.
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
                // Tungstenite answers pings by itself.
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                None => Ok(Event::Closed),
            });
        }
    }

    /// Hands what is queued to the socket, and that to the kernel. A message that was begun stays with the socket.
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

    /// Says why the link ends, and waits for a moment until the peer has taken note.
    ///
    /// Whatever goes wrong on the way, the link is over; messages that still come are dropped.
    pub async fn close(&mut self, code: u16, reason: &str) {
        self.queue.clear();
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let closing = self.socket.send(Message::Close(Some(frame)));
        if let Ok(Ok(())) = tokio::time::timeout(CLOSE_GRACE, closing).await {
            self.finish().await;
        }
    }

    /// Whether and how the peer has closed, as far as was received.
    pub fn closing(&self) -> &Closing {
        &self.closing
    }

    /// How the peer has closed, as the end of a sentence: `: <reason> (<code>)`, or nothing.
    pub fn closed_because(&self) -> String {
        self.closing.to_string()
    }

    /// Bytes received and sent so far, with the WebSocket's handshake and framing, without TLS.
    pub fn transferred(&self) -> (u64, u64) {
        (self.traffic.received(), self.traffic.sent())
    }

    /// The end of the closing handshake: our answer goes out, theirs comes in.
    async fn finish(&mut self) {
        let rest = async {
            while let Some(Ok(_)) = self.socket.next().await {}
            // RFC 6455 section 7.1.1: the server ends the connection, and a client waits for that.
            self.socket.get_mut().shutdown().await
        };
        // A peer that does not do its part is not waited for, and one that is gone is no error here.
        tokio::time::timeout(CLOSE_GRACE, rest).await.map(Result::ok).ok();
    }
}

impl Closing {
    fn of(frame: Option<CloseFrame>) -> Self {
        frame.map_or(Self::NoCode, |frame| Self::Code(frame.code.into(), one_line(&frame.reason)))
    }
}

/// As the end of a sentence: `: <reason> (<code>)`, or nothing.
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
        // Allocated at once, for each of maybe a thousand data planes; a TLS record is not longer.
        .read_buffer_size(16 * 1024)
        // Every message is flushed at once, so that what is buffered is one message and a pong or a close.
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

/// Accepts the one path, and notes what was asked for.
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
