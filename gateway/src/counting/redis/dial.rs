//! Opens streams to servers.

use std::fmt::Debug;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use uuid::Uuid;

use super::failure::RedisFailure;
use super::terms::RedisTerms;

/// A stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream, when it is open.
pub type Dialed<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Stream>, RedisFailure>> + Send + 'a>>;

/// Opens streams to servers: to an address that the configuration of this node allows, and with TLS if the
/// terms say so. The caller has the timeout.
pub trait Dial: Debug + Send + Sync {
    /// Opens a stream for a plugin.
    fn dial<'a>(&'a self, terms: &'a RedisTerms, plugin: Uuid) -> Dialed<'a>;
}
