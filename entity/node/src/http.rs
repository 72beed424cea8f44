//! HTTP/1.1 listeners with a bound for everything that a client can make last or grow: connections, of all
//! clients and of one address; requests in flight; the bytes of a header; the time that a header, a pause
//! between requests, a body and the taking of an answer may last.
//!
//! At a cap, a new connection takes the place of the one that has been without a request for longest, so that
//! silent connections keep nobody out. Knows no paths and no tokens: a [`Handler`] answers.

mod activity;
mod body;
mod connection;
mod listener;
mod places;
mod reserve;
mod timed;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use tokio::sync::Semaphore;

pub use body::RequestBody;
pub use listener::{Listener, serve};
use places::Places;

/// Bounds of one or several listeners together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections.
    pub max_connections: usize,
    /// Open connections from one address; of IPv6, one network of 64 bits.
    pub max_connections_per_address: usize,
    /// Requests that are being answered.
    pub max_in_flight: usize,
    /// Bytes of a request line and its header fields; at least [`LEAST_HEADER`].
    pub max_header_bytes: usize,
    /// For a whole header, and for a TLS handshake.
    pub header_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// For a whole body.
    pub body_timeout: Duration,
    /// For an answer to be taken as a whole.
    pub write_timeout: Duration,
}

/// The least that [`Limits::max_header_bytes`] may be: what hyper reads at once.
pub const LEAST_HEADER: usize = 8192;

/// Which bound a client has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// All places are taken, and each by a connection with a request; or a silent connection lost its place.
    Connections,
    /// Too many requests in flight: 503.
    InFlight,
    /// A TLS handshake failed or did not end in time.
    Handshake,
    /// A header was not complete in time.
    HeaderTimeout,
    /// A body was not complete in time.
    BodyTimeout,
    /// An answer was not taken in time.
    WriteTimeout,
}

impl Limits {
    /// With no more connections than half of the descriptors that the process may have: the other half is for
    /// whatever else it does.
    #[must_use]
    pub fn within(mut self, descriptors: usize) -> Self {
        let most = (descriptors / 2).max(1);
        if self.max_connections > most {
            tracing::warn!(
                max_connections = most,
                wanted = self.max_connections,
                "fewer connections than configured: the limit of open files is too low"
            );
            self.max_connections = most;
        }
        self.max_connections_per_address = self.max_connections_per_address.min(self.max_connections);
        self
    }
}

impl Bound {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Connections,
        Self::InFlight,
        Self::Handshake,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::WriteTimeout,
    ];

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::InFlight => "in_flight",
            Self::Handshake => "handshake",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::WriteTimeout => "write_timeout",
        }
    }
}

/// Answers requests.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>
        + From<Bytes>
        + Send
        + 'static;

    /// Answers one request of a connection.
    fn handle(
        &self,
        request: Request<RequestBody>,
        peer: Arc<Peer>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: Address,
    /// The address at which it has reached this program; none over a Unix socket.
    pub local: Option<SocketAddr>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The chain that it has shown, its own first, and that the listener's TLS configuration accepted.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// In the network.
    Tcp(SocketAddr),
    /// On this machine, as this user.
    Unix {
        /// The user of its process.
        uid: u32,
    },
}

/// What listeners share: their bounds and what is used of them. Cheap to clone.
#[derive(Clone)]
pub struct HttpLimiter {
    limits: Arc<Limits>,
    places: Arc<Places>,
    in_flight: Arc<Semaphore>,
    count: Arc<dyn Fn(Bound) + Send + Sync>,
}

impl HttpLimiter {
    /// For listeners that have these bounds together; `count` is called for each time that one is met.
    pub fn new(limits: Limits, count: impl Fn(Bound) + Send + Sync + 'static) -> Self {
        let count: Arc<dyn Fn(Bound) + Send + Sync> = Arc::new(count);
        Self {
            places: Arc::new(Places::new(limits.max_connections, limits.max_connections_per_address)),
            in_flight: Arc::new(Semaphore::new(limits.max_in_flight.min(Semaphore::MAX_PERMITS))),
            limits: Arc::new(limits),
            count,
        }
    }

    fn met(&self, bound: Bound) {
        (self.count)(bound);
    }
}

impl fmt::Debug for HttpLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLimiter").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { uid } => write!(f, "unix:uid={uid}"),
        }
    }
}

#[cfg(test)]
mod tests;
