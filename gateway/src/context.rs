//! The state of one request, carried from phase to phase. It holds the route and the service, never the
//! table.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::Incoming;
use crate::dns::Addresses;
use crate::error::RequestFailure;
use crate::limit::Permit;
use crate::metrics::Source;
use crate::notes::Notes;
use crate::plugin::{KeyPrefetch, Running};
use crate::request::{Canonical, Target};
use crate::request_id::RequestId;
use crate::upstream::Balanced;

/// The state of one request.
#[derive(Debug)]
pub struct Context {
    /// When the header had been read.
    pub started: Instant,
    /// The request id, for both sides and the log.
    pub request_id: RequestId,
    /// The permit under the cap on requests in flight.
    pub permit: Option<Permit>,
    /// The request and its client; `None` until the first phase.
    pub incoming: Option<Box<Incoming>>,
    /// The API key that the request shows, if plugins look for one.
    pub key_prefetch: Option<KeyPrefetch>,
    /// The canonical host and path.
    pub canonical: Canonical,
    /// The target; `None` until a route matches, and when the gateway answers by itself.
    pub target: Option<Target>,
    /// The plugins; `None` when none runs.
    pub plugins: Option<Box<Running>>,
    /// What is noted for logs; `None` when nothing reads it.
    pub notes: Option<Box<Notes>>,
    /// Why the request failed.
    pub failure: Option<RequestFailure>,
    /// The status sent, once the header of an answer has been queued, and who answered.
    pub answered: Option<(u16, Source)>,
    /// The upstream's side of the request.
    pub upstream: Upstream,
}

/// The upstream's side of a request.
#[derive(Debug, Default)]
pub struct Upstream {
    /// The addresses to try; resolved for the first attempt. Of a service without an upstream.
    pub addresses: Option<Addresses>,
    /// What a request to an upstream's targets keeps between its attempts.
    pub balanced: Option<Balanced>,
    /// Attempts made.
    pub attempts: u16,
    /// When the first attempt began.
    pub started: Option<Instant>,
    /// Time from the first attempt to the header of the answer, or to the failure of the last attempt.
    pub waited: Option<Duration>,
}

impl Context {
    /// Creates the state of a request whose header has just been read.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            request_id: RequestId::random(),
            permit: None,
            incoming: None,
            key_prefetch: None,
            canonical: Canonical::default(),
            target: None,
            plugins: None,
            notes: None,
            failure: None,
            answered: None,
            upstream: Upstream::default(),
        }
    }

    /// Whether another attempt is allowed after those made.
    pub fn may_retry(&self) -> bool {
        self.target.as_ref().is_some_and(|target| self.upstream.attempts <= target.service.retries)
    }

    /// Lets the upstream's targets go, once an answer has begun: a long one must not keep those of an earlier
    /// configuration.
    pub fn release_group(&mut self) {
        if let Some(target) = &mut self.target {
            target.group = None;
        }
    }

    /// Time from the header until an upstream was chosen; until now, if none was.
    pub fn before_upstream(&self) -> Duration {
        match self.upstream.started {
            Some(started) => started - self.started,
            None => self.started.elapsed(),
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}
