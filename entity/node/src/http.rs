//! HTTP/1.1 listeners with a bound for everything that a client can prolong or enlarge: connections, of all
//! clients and of one address; requests in flight; the bytes of a header; the time of a header, of a pause
//! between requests, of a body and of writing an answer.
//!
//! At a cap, a new connection evicts the one that has been without a request for longest. Silent connections
//! therefore cannot keep others out. This module knows no paths and no tokens: a [`Handler`] answers.
//! silent connections keep nobody out. Knows no paths and no tokens: a [`Handler`] answers.

mod activity;
mod body;
mod connection;
mod listener;
mod path;
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
pub use path::without_redundant_slashes;
use places::Places;

/// Bounds that one or several listeners share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections.
    pub max_connections: usize,
    /// Open connections from one address; of IPv6, from one /64 network.
    pub max_connections_per_address: usize,
    /// Requests in progress.
    pub max_in_flight: usize,
    /// Bytes of a request line and its header fields; at least [`LEAST_HEADER`].
    pub max_header_bytes: usize,
    /// Timeout of a whole header, and of a TLS handshake.
    pub header_timeout: Duration,
    /// Timeout between two requests of a connection.
    pub idle_timeout: Duration,
    /// Timeout of a whole body.
    pub body_timeout: Duration,
    /// Timeout for the client to read a whole answer.
    pub write_timeout: Duration,
}

/// The least value of [`Limits::max_header_bytes`]: the bytes that hyper reads at once.
pub const LEAST_HEADER: usize = 8192;

/// A bound that a client has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Every place is held by a connection with a request; or a silent connection lost its place.
    Connections,
    /// Too many requests in flight: 503.
    InFlight,
    /// A TLS handshake failed or did not end in time.
    Handshake,
    /// A header was not complete in time.
    HeaderTimeout,
    /// A body was not complete in time.
    BodyTimeout,
    /// The client did not read an answer in time.
    WriteTimeout,
}

/// The connections of some listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Since the start.
    pub accepted: u64,
    /// Those of them that got a place.
    pub handled: u64,
    /// Those that are open.
    pub active: usize,
    /// Those of them without a request.
    pub waiting: usize,
}

impl Limits {
    /// At most half of the process's descriptors are for connections: the other half is for everything else.
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
    /// Every bound.
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
    /// The peer's address.
    pub address: Address,
    /// The address of this program that the peer reached; `None` over a Unix socket.
    pub local: Option<SocketAddr>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// The chain that the peer showed, its own certificate first. The listener's TLS configuration accepted
    /// it.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The address of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of the network.
    Tcp(SocketAddr),
    /// A process of this machine.
    Unix {
        /// The user of the peer's process.
        uid: u32,
    },
}

/// The state that listeners share: their bounds and the current use of them. Cheap to clone.
#[derive(Clone)]
pub struct HttpLimiter {
    limits: Arc<Limits>,
    places: Arc<Places>,
    in_flight: Arc<Semaphore>,
    count: Arc<dyn Fn(Bound) + Send + Sync>,
}

impl HttpLimiter {
    /// Makes the state for listeners that share these bounds. Calls `count` each time that a client meets
    /// one.
    pub fn new(limits: Limits, count: impl Fn(Bound) + Send + Sync + 'static) -> Self {
        let count: Arc<dyn Fn(Bound) + Send + Sync> = Arc::new(count);
        Self {
            places: Arc::new(Places::new(limits.max_connections, limits.max_connections_per_address)),
            in_flight: Arc::new(Semaphore::new(limits.max_in_flight.min(Semaphore::MAX_PERMITS))),
            limits: Arc::new(limits),
            count,
        }
    }

    /// Counts the connections of the listeners.
    pub fn connections(&self) -> Connections {
        self.places.connections()
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
