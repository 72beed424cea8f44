//! The state of one request, carried from phase to phase. It holds the route and the service, never the
//! table.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::error::RequestFailure;
use crate::limit::Permit;
use crate::metrics::Source;
use crate::request::{Canonical, Replaced};
use crate::route::{Entry, Service};
use crate::upstream::{self, Addresses};

/// The state of one request.
#[derive(Debug)]
pub struct Context {
    /// When the header had been read.
    pub started: Instant,
    /// The request id: 32 hexadecimal digits, for both sides and the log.
    pub request_id: HeaderValue,
    /// The permit under the cap on requests in flight.
    pub permit: Option<Permit>,
    /// Bytes of the body received so far.
    pub received: u64,
    /// Bytes of the target that were replaced before the header was parsed.
    pub replaced: Replaced,
    /// The canonical host and path.
    pub canonical: Canonical,
    /// The target; `None` until a route matches, and when the gateway answers by itself.
    pub target: Option<Target>,
    /// Why the request failed.
    pub failure: Option<RequestFailure>,
    /// The source of the response.
    pub answered_by: Source,
    /// The upstream's side of the request.
    pub upstream: Upstream,
}

/// The target of a request.
#[derive(Debug)]
pub struct Target {
    /// The route.
    pub route: Arc<Entry>,
    /// The route's service.
    pub service: Arc<Service>,
    /// How many bytes of the canonical path the route matched.
    pub matched: usize,
}

/// The upstream's side of a request.
#[derive(Debug, Default)]
pub struct Upstream {
    /// The addresses to try; resolved for the first attempt.
    pub addresses: Option<Addresses>,
    /// Attempts made.
    pub attempts: u16,
    /// When the first attempt began.
    pub started: Option<Instant>,
    /// Time from the first attempt to the header of the response.
    pub answered: Option<Duration>,
}

impl Context {
    /// Creates the state of a request whose header has just been read.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            request_id: request_id(),
            permit: None,
            received: 0,
            replaced: Replaced::new(),
            canonical: Canonical::default(),
            target: None,
            failure: None,
            answered_by: Source::Upstream,
            upstream: Upstream::default(),
        }
    }

    /// The target.
    ///
    /// # Errors
    /// When the request has not been matched, which cannot happen in a phase after the match.
    pub fn target(&self) -> pingora::Result<&Target> {
        self.target.as_ref().ok_or_else(|| pingora::Error::new_in(pingora::ErrorType::InternalError))
    }

    /// The digits of the request id.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Whether another attempt is allowed after those made.
    pub fn may_retry(&self) -> bool {
        self.target.as_ref().is_some_and(|target| upstream::may_retry(&self.upstream, &target.service))
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

fn request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random: [u8; 16] = rand::random();
    let mut id = [0; 32];
    for (pair, byte) in id.chunks_exact_mut(2).zip(random) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    HeaderValue::from_bytes(&id).expect("hexadecimal digits can stand in a header")
}
