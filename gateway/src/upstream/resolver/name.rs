//! One name: its cached result, the time until which it is valid, and the running look-up.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Addresses, Found, LookUpError};

/// The shortest and the longest time that addresses are valid, whatever the name server says.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// Delay of the next look-up after a failed one; Kong's `error_ttl`.
const ERROR_TTL: Duration = Duration::from_secs(1);
/// How long old addresses are used while look-ups fail; Kong's `stale_ttl`.
const STALE_TTL: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Name {
    host: Box<str>,
    answer: ArcSwapOption<Answer>,
    /// The running look-up, cancelled at its end.
    flight: Mutex<Option<CancellationToken>>,
    /// Permits for requests that wait for it.
    pub(super) waiting: Semaphore,
    /// Makes requests use the addresses in turn.
    turn: AtomicUsize,
}

/// The result of a look-up. All times count from its end.
#[derive(Debug)]
pub(super) struct Answer {
    /// Empty: there are none.
    addresses: Arc<[IpAddr]>,
    refresh_at: Instant,
    usable_until: Instant,
}

/// The cached state of a name.
#[derive(Debug)]
pub(super) enum Known {
    /// Addresses.
    Fresh(Arc<Answer>),
    /// Addresses that are due for the next look-up.
    Stale(Arc<Answer>),
    /// The name has no addresses.
    Failed,
    /// The name had no addresses, and the next look-up is due.
    FailedBefore,
    Nothing,
}

/// A running look-up. Its end, by any cause, allows the next one.
#[derive(Debug)]
pub(super) struct Flight {
    name: Arc<Name>,
    ended: CancellationToken,
}

impl Name {
    pub(super) fn new(host: &str, waiting: usize) -> Self {
        Self {
            host: host.into(),
            answer: ArcSwapOption::empty(),
            flight: Mutex::default(),
            waiting: Semaphore::new(waiting.clamp(1, Semaphore::MAX_PERMITS)),
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn known(&self, now: Instant) -> Known {
        let Some(answer) = self.answer.load_full().filter(|answer| answer.usable_until > now) else {
            return Known::Nothing;
        };
        match (answer.addresses.is_empty(), answer.refresh_at > now) {
            (false, true) => Known::Fresh(answer),
            (false, false) => Known::Stale(answer),
            (true, true) => Known::Failed,
            (true, false) => Known::FailedBefore,
        }
    }

    pub(super) fn take_turn(&self, answer: &Answer) -> Option<Addresses> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let addresses = Addresses { all: answer.addresses.clone(), first };
        (!addresses.all.is_empty()).then_some(addresses)
    }

    /// Begins a look-up.
    ///
    /// # Errors
    /// The end of the look-up that is running, or that has just ended.
    pub(super) fn take_off(self: &Arc<Self>) -> Result<Flight, CancellationToken> {
        let mut flight = self.flight.lock();
        if let Some(under_way) = &*flight {
            return Err(under_way.clone());
        }
        let ended = CancellationToken::new();
        if matches!(self.known(Instant::now()), Known::Fresh(_) | Known::Failed) {
            ended.cancel();
            return Err(ended);
        }
        *flight = Some(ended.clone());
        Ok(Flight { name: self.clone(), ended })
    }

    /// Records the result of a look-up that ends now; `timeout` is how long the next may take.
    pub(super) fn note(&self, found: Result<Found, LookUpError>, timeout: Duration) {
        let now = Instant::now();
        let answer = match found {
            Ok(found) => {
                let refresh_at = now + found.ttl.clamp(TTL.0, TTL.1);
                let addresses = found.addresses.into();
                Answer { addresses, refresh_at, usable_until: refresh_at + STALE_TTL }
            }
            Err(error) => {
                warn!(name = &*self.host, "cannot resolve an upstream's name: {error}");
                self.failed(now + ERROR_TTL, timeout)
            }
        };
        self.answer.store(Some(Arc::new(answer)));
    }

    /// The previous addresses, or none until the next look-up has ended.
    fn failed(&self, refresh_at: Instant, timeout: Duration) -> Answer {
        match self.known(Instant::now()) {
            Known::Fresh(old) | Known::Stale(old) => {
                Answer { addresses: old.addresses.clone(), refresh_at, usable_until: old.usable_until }
            }
            Known::Failed | Known::FailedBefore | Known::Nothing => {
                let usable_until = refresh_at + timeout + ERROR_TTL;
                Answer { addresses: Arc::new([]), refresh_at, usable_until }
            }
        }
    }

    pub(super) fn is_used(&self, now: Instant) -> bool {
        self.flight.lock().is_some() || !matches!(self.known(now), Known::Nothing)
    }
}

impl Flight {
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        *self.name.flight.lock() = None;
        self.ended.cancel();
    }
}
