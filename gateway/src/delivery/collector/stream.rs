//! Collectors that take a stream of bytes.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use super::{Collector, Delivering, DeliveryFailure};
use crate::outbound::Outbound;
use crate::upstream::{Host, UpstreamTls};

/// A collector that takes a stream of bytes over TCP.
pub struct Stream {
    /// The name of the plugin.
    pub plugin: &'static str,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// TLS, if it is used.
    pub tls: Option<StreamTls>,
    /// Bounds the time to connect, and the time of a batch.
    pub timeout: Duration,
    /// How long an unused connection is kept.
    pub keepalive: Duration,
    /// What follows each entry.
    pub separator: &'static [u8],
    /// The connection, and when it was used last.
    pub connection: Mutex<Option<(Connection, Instant)>>,
}

/// The TLS of a stream.
pub struct StreamTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// A connection to a collector.
pub struct Connection(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl StreamTls {
    /// Verifies with `verify` that the collector shows a certificate for `name`; `None` if no certificate can
    /// have this name.
    pub fn new(name: &Host, verify: bool) -> Option<Self> {
        let name = match name {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.to_string()).ok()?,
        };
        Some(Self { connector: UpstreamTls::of_bytes(verify), name })
    }
}

impl Collector for Stream {
    fn plugin(&self) -> &'static str {
        self.plugin
    }

    fn deliver<'a>(&'a self, id: Uuid, batch: &'a [Bytes], outbound: &'a Outbound) -> Delivering<'a> {
        Box::pin(async move {
            let mut kept = self.connection.lock().await;
            let mut usable = kept.take().filter(|(_, used)| used.elapsed() < self.keepalive);
            if usable.as_mut().is_some_and(|(connection, _)| !connection.is_open()) {
                usable = None;
            }
            let usable = usable.map(|(connection, _)| connection);
            let delivered = timeout(self.timeout, self.send(id, batch, outbound, usable)).await;
            let connection = delivered.unwrap_or(Err(DeliveryFailure::TimedOut))?;
            *kept = Some((connection, Instant::now()));
            Ok(())
        })
    }
}

impl Stream {
    /// Writes a batch, and returns the connection.
    async fn send(
        &self,
        id: Uuid,
        batch: &[Bytes],
        outbound: &Outbound,
        usable: Option<Connection>,
    ) -> Result<Connection, DeliveryFailure> {
        let mut connection = match usable {
            Some(connection) => connection,
            None => self.connect(id, outbound).await?,
        };
        let mut text = Vec::with_capacity(batch.iter().map(|entry| entry.len() + 1).sum());
        for entry in batch {
            text.extend_from_slice(entry);
            text.extend_from_slice(self.separator);
        }
        let failed = || DeliveryFailure::socket("write to the collector");
        connection.0.write_all(&text).await.map_err(failed())?;
        connection.0.flush().await.map_err(failed())?;
        Ok(connection)
    }

    async fn connect(&self, id: Uuid, outbound: &Outbound) -> Result<Connection, DeliveryFailure> {
        let addresses = outbound.addresses_of(id, &self.host, self.port).await?;
        let stream = TcpStream::connect(&*addresses).await;
        let stream = stream.map_err(DeliveryFailure::socket("connect to the collector"))?;
        // Without it small writes wait for the acknowledgement of earlier ones. A connection works without it.
        stream.set_nodelay(true).ok();
        let Some(StreamTls { connector, name }) = &self.tls else { return Ok(Connection(Box::new(stream))) };
        let secured = connector.connect(name.clone(), stream).await;
        let secured = secured.map_err(DeliveryFailure::socket("make a TLS handshake with the collector"))?;
        Ok(Connection(Box::new(secured)))
    }
}

impl Connection {
    /// Whether the collector has not ended it. What it has sent is read and dropped.
    fn is_open(&mut self) -> bool {
        let mut space = [0; 1024];
        let mut waits = |context: &mut Context<'_>| {
            for _ in 0..64 {
                let mut buffer = ReadBuf::new(&mut space);
                match Pin::new(&mut self.0).poll_read(context, &mut buffer) {
                    Poll::Pending => return true,
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(Ok(()) | Err(_)) => return false,
                }
            }
            false
        };
        let checked = poll_fn(|context| Poll::Ready(waits(context)));
        unconstrained(checked).now_or_never().unwrap_or(false)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Stream");
        shown.field("plugin", &self.plugin).field("host", &self.host).field("port", &self.port);
        shown.field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl fmt::Debug for StreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamTls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}
