//! Requests that the gateway makes itself, for its plugins: to collectors of logs and traces, to services that
//! decide on requests, for sets of keys.
//!
//! A call goes to addresses that the policy on upstream addresses allows, whether its host is a name or an
//! address. Redirects are not followed, and no proxy of the environment is used: each would be a way around that
//! policy. Connections are kept between calls. The calls to one host at a time, the time of a call, and the bytes
//! of its answer have bounds.

mod destination;
mod exchange;
mod places;
#[cfg(test)]
pub(crate) mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use smallvec::SmallVec;
use tokio::time::timeout;
use uuid::Uuid;

pub use self::destination::{Destination, UnusableUrl};
use self::places::Places;
use crate::dns::{Addresses, Names};
use crate::upstream::{AnswerLimits, Host, Policy, Pool, PoolLimits, Timeouts, UpstreamFailure};

/// What the header of an answer may be.
const ANSWERS: AnswerLimits = AnswerLimits { header_bytes: 64 * 1024, header_fields: 200 };
/// Kept connections that may turn out to have ended, before a call fails.
const MOST_STALE: usize = 4;

/// Makes calls.
#[derive(Debug)]
pub struct Outbound {
    pool: Arc<Pool>,
    names: Arc<Names>,
    policy: Arc<Policy>,
    places: Places,
}

/// The bounds of all calls of an [`Outbound`].
#[derive(Clone, Copy, Debug)]
pub struct OutboundLimits {
    /// The most calls to one host at a time. Others wait within their own time.
    pub calls_of_host: usize,
    /// The most idle connections that are kept.
    pub idle: usize,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call<'c> {
    /// The plugin that makes the call, for the log.
    pub plugin: Uuid,
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub destination: &'c Destination,
    /// The fields, without those of the framing and without `Host`.
    pub fields: &'c [(HeaderName, HeaderValue)],
    /// The body.
    pub body: Bytes,
    /// Bounds of time.
    pub timeouts: CallTimeouts,
    /// The most bytes of the answer's body; `None`: the body is not wanted, and [`CallAnswer::body`] is empty.
    pub max_answer: Option<usize>,
    /// Whether the call may be made once more when a kept connection ends without an answer. The server may have
    /// seen the first one. Other methods than the idempotent ones do harm then, unless the server expects it.
    pub may_repeat: bool,
}

/// Bounds of the time of a call.
#[derive(Clone, Copy, Debug)]
pub struct CallTimeouts {
    /// Time to establish a connection, TLS included.
    pub connect: Duration,
    /// Time without progress while bytes of the request are to be written.
    pub send: Duration,
    /// Time without progress while bytes of the answer are awaited.
    pub read: Duration,
    /// Time of the whole call, the wait for its turn and for the look-up of the name included.
    pub total: Duration,
}

/// The answer to a call, whatever its status.
#[derive(Clone, Debug)]
pub struct CallAnswer {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub fields: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a call has no answer. The texts are for the log: they have neither fields nor bodies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The name has no address, or too many requests wait for look-ups.
    #[error("the name has no address")]
    NameResolution,
    /// The configuration of this node forbids every address of the host.
    #[error("the address is not allowed (upstream.deny, upstream.allow)")]
    Denied,
    /// The call took longer than it may.
    #[error("no answer within the timeout")]
    TimedOut,
    /// The body of the answer has more bytes than the caller takes.
    #[error("the answer is too large")]
    AnswerTooLarge,
    /// The exchange failed.
    #[error(transparent)]
    Exchange(#[from] UpstreamFailure),
}

impl CallTimeouts {
    /// The same bound for each part of a call, and for all of it.
    pub const fn all(limit: Duration) -> Self {
        Self { connect: limit, send: limit, read: limit, total: limit }
    }
}

impl Outbound {
    /// Creates a client without connections.
    pub fn new(names: Arc<Names>, policy: Arc<Policy>, limits: OutboundLimits) -> Self {
        let of_pool = PoolLimits { idle: limits.idle, idle_of_upstream: limits.calls_of_host };
        let (pool, places) = (Arc::new(Pool::new(of_pool, ANSWERS)), Places::new(limits.calls_of_host));
        Self { pool, names, policy, places }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// When there is no whole answer in time. An answer of any status is none.
    pub async fn send(&self, call: Call<'_>) -> Result<CallAnswer, CallFailure> {
        let made = timeout(call.timeouts.total, self.send_in_turn(&call)).await;
        made.unwrap_or(Err(CallFailure::TimedOut))
    }

    async fn send_in_turn(&self, call: &Call<'_>) -> Result<CallAnswer, CallFailure> {
        let _place = self.places.take(call.destination.authority()).await;
        let addresses = self.addresses(call.plugin, call.destination).await?;
        let CallTimeouts { connect, send, read, .. } = call.timeouts;
        let timeouts = Timeouts { connect, read, write: send };
        let mut stale = 0;
        loop {
            let upstream = self.pool.connect(call.destination.terms(), &addresses, timeouts).await?;
            let may_be_stale = upstream.was_reused() && stale < MOST_STALE;
            match exchange::run(upstream, call).await {
                Err(CallFailure::Exchange(failure)) if may_be_stale && may_repeat(call, &failure) => {
                    stale += 1;
                }
                ended => return ended,
            }
        }
    }

    /// The addresses of a destination that the policy allows, beginning with the one whose turn it is.
    pub(crate) async fn addresses(
        &self,
        plugin: Uuid,
        destination: &Destination,
    ) -> Result<SmallVec<[SocketAddr; 4]>, CallFailure> {
        self.addresses_of(plugin, destination.host(), destination.port()).await
    }

    /// The same for a host and a port.
    pub(crate) async fn addresses_of(
        &self,
        plugin: Uuid,
        host: &Host,
        port: u16,
    ) -> Result<SmallVec<[SocketAddr; 4]>, CallFailure> {
        let (name, addresses) = match host {
            Host::Address(address) => (None, Addresses::one(*address)),
            Host::Name(name) => {
                let found = self.names.resolve(name).await.ok_or(CallFailure::NameResolution)?;
                (Some(&**name), found)
            }
        };
        let is_allowed = |address| self.policy.allows_plugin(plugin, name, SocketAddr::new(address, port));
        let allowed = addresses.only(is_allowed).ok_or(CallFailure::Denied)?;
        Ok((0..allowed.len()).map(|at| SocketAddr::new(allowed.nth(at), port)).collect())
    }
}

/// Whether another attempt can do no harm that the caller does not expect.
fn may_repeat(call: &Call<'_>, failure: &UpstreamFailure) -> bool {
    failure.is_harmless() || failure.is_silent_end() && (call.may_repeat || call.method.is_idempotent())
}
