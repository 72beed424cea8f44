//! Where the entries of a queue go, and how.

mod datagram;
mod http;
mod local;
mod stream;

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use uuid::Uuid;

pub use self::datagram::{Datagrams, MOST_BYTES as MOST_BYTES_OF_DATAGRAM};
pub use self::http::{Assemble, HttpCollector, JsonBody};
pub use self::local::LocalSocket;
pub use self::stream::{Stream, StreamTls};
use crate::outbound::{CallFailure, Outbound};

/// A delivery that is being made.
pub type Delivering<'a> = Pin<Box<dyn Future<Output = Result<(), DeliveryFailure>> + Send + 'a>>;

/// Where the entries of a queue go. A queue keeps one for as long as it lives, with its connections.
pub trait Collector: Debug + Send + Sync {
    /// The name of the plugin, for the log and the metrics.
    fn plugin(&self) -> &'static str;

    /// Delivers a batch of at least one entry. Takes a bounded time.
    fn deliver<'a>(&'a self, id: Uuid, batch: &'a [Bytes], outbound: &'a Outbound) -> Delivering<'a>;
}

/// Why a batch was not delivered. The texts are for the log. None is final: a collector that is started behind a proxy
/// is a 404 for a while.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryFailure {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallFailure),
    /// The collector answered with a status that is no success.
    #[error("the answer has the status {0}")]
    Status(u16),
    /// A socket failed.
    #[error("cannot {attempted}: {error}")]
    Socket {
        /// What was attempted.
        attempted: &'static str,
        /// How it failed.
        error: io::Error,
    },
    /// The collector did not take the entries in time.
    #[error("nothing was taken within the timeout")]
    TimedOut,
}

impl DeliveryFailure {
    fn socket(attempted: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Socket { attempted, error }
    }
}
