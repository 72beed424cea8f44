//! What one request carries from phase to phase. It holds its route and service, never the table.

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

/// What one request carries.
#[derive(Debug)]
pub struct Context {
    /// When its header had been read.
    pub started: Instant,
    /// 32 hexadecimal digits, for both sides and the log.
    pub request_id: HeaderValue,
    /// Its place among the requests in flight.
    pub permit: Option<Permit>,
    /// Bytes of its body that have come.
    pub received: u64,
    /// Bytes of its target that were replaced before the header was parsed.
    pub replaced: Replaced,
    /// Its host and path.
    pub canonical: Canonical,
    /// Where it goes; `None` until it is matched, and when it is answered here.
    pub target: Option<Target>,
    /// Why it failed.
    pub failure: Option<RequestFailure>,
    /// Who answers it.
    pub answered_by: Source,
    /// The upstream's side of it.
    pub upstream: Upstream,
}

/// Where a request goes.
#[derive(Debug)]
pub struct Target {
    /// Its route.
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
    /// How long it took to the header of the answer, from then.
    pub answered: Option<Duration>,
}

impl Context {
    /// For a request whose header has just been read.
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

    /// Where it goes.
    ///
    /// # Errors
    /// When it has not been matched, which no phase after the match can meet.
    pub fn target(&self) -> pingora::Result<&Target> {
        self.target.as_ref().ok_or_else(|| pingora::Error::new_in(pingora::ErrorType::InternalError))
    }

    /// The digits of its id.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Whether another attempt may follow those made.
    pub fn may_retry(&self) -> bool {
        self.target.as_ref().is_some_and(|target| upstream::may_retry(&self.upstream, &target.service))
    }

    /// How long it has been here before an upstream was chosen; so far, if none was.
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
