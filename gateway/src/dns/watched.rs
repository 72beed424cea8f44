//! One name: its answer, its running look-up, and the parts of the program that follow it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::answer::{Answer, Endpoint, RecordKind};
use super::look_up::{Found, LookUpError};
use super::memory::Memory;
use super::query::Query;

/// How long a name of requests is looked up after the last of them.
pub(super) const IDLE: Duration = Duration::from_secs(600);

/// A name whose addresses are kept up to date.
pub struct Watched {
    query: Query,
    /// For names of requests. Names without it are looked up for as long as they live.
    usage: Option<Usage>,
    answer: ArcSwap<Answer>,
    state: Mutex<State>,
    /// Cancelled when the first look-up has ended.
    looked: CancellationToken,
    followers: Mutex<Followers>,
}

/// How requests use a name.
#[derive(Debug)]
pub(super) struct Usage {
    /// The time from which `used` counts.
    base: Instant,
    /// Milliseconds until the last request.
    used: AtomicU64,
    /// Permits for requests that wait for a look-up.
    pub(super) waiting: Semaphore,
    /// Makes requests use the addresses in turn.
    pub(super) turn: AtomicUsize,
}

#[derive(Debug)]
struct State {
    memory: Memory,
    /// The running look-up, cancelled at its end.
    running: Option<CancellationToken>,
    /// The time of the event that is valid in the driver's queue; others are outdated.
    event_at: Option<Instant>,
}

#[derive(Default)]
struct Followers {
    last: u64,
    all: Vec<(u64, Arc<dyn Fn() + Send + Sync>)>,
}

/// Ends a subscription when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    watched: Weak<Watched>,
    number: u64,
}

/// A running look-up. Its end, by any cause, allows the next one.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) watched: Arc<Watched>,
    ended: CancellationToken,
}

/// The condition of a name, for gauges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Condition {
    pub(super) is_failing: bool,
    /// How long ago the TTL of its addresses has passed.
    pub(super) age: Option<Duration>,
}

impl Watched {
    pub(super) fn new(query: Query, usage: Option<Usage>, now: Instant) -> Self {
        let memory = Memory::new(query.terms, now);
        Self {
            answer: ArcSwap::from_pointee(memory.answer()),
            state: Mutex::new(State { memory, running: None, event_at: None }),
            query,
            usage,
            looked: CancellationToken::new(),
            followers: Mutex::default(),
        }
    }

    /// A host that is an address and needs no look-up.
    pub(super) fn literal(query: Query, endpoint: Endpoint, now: Instant) -> Self {
        let watched = Self::new(query, None, now);
        watched.answer.store(Arc::new(Answer::fixed(vec![endpoint], RecordKind::Literal)));
        watched.looked.cancel();
        watched
    }

    /// The answer now. Never waits.
    pub fn current(&self) -> Arc<Answer> {
        self.answer.load_full()
    }

    /// Whether the first look-up has ended.
    pub fn is_looked_up(&self) -> bool {
        self.looked.is_cancelled()
    }

    /// Waits until the first look-up has ended, at most `limit`.
    pub async fn first(&self, limit: Duration) {
        if !self.looked.is_cancelled() {
            // The answer says whether there is one.
            timeout(limit, self.looked.cancelled()).await.ok();
        }
    }

    /// Calls `changed` after each change of the endpoints or of the error, not on a mere renewal. The call is made
    /// on the thread of the look-ups and must not block. It may be repeated, and covers all changes before it.
    #[must_use = "the subscription ends when it is dropped"]
    pub fn on_change(self: &Arc<Self>, changed: impl Fn() + Send + Sync + 'static) -> Subscription {
        let mut followers = self.followers.lock();
        followers.last += 1;
        let number = followers.last;
        followers.all.push((number, Arc::new(changed)));
        Subscription { watched: Arc::downgrade(self), number }
    }

    /// The host and its terms.
    pub fn query(&self) -> &Query {
        &self.query
    }

    pub(super) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// Begins a look-up.
    ///
    /// # Errors
    /// The end of the look-up that is running.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Flight, CancellationToken> {
        let mut state = self.state.lock();
        if let Some(running) = &state.running {
            return Err(running.clone());
        }
        let ended = CancellationToken::new();
        state.running = Some(ended.clone());
        Ok(Flight { watched: self.clone(), ended })
    }

    /// Records the result of a look-up, and returns whether endpoints or error have changed.
    pub(super) fn note(&self, found: Result<Found, LookUpError>, now: Instant) -> bool {
        let mut state = self.state.lock();
        let changed = state.memory.note(found, now, rand::random());
        // Under the lock, so that an older answer does not replace it.
        self.answer.store(Arc::new(state.memory.answer()));
        changed
    }

    /// Ends the use of addresses that may no longer be used, and returns whether there were any.
    pub(super) fn expire(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let expired = state.memory.expire(now);
        if expired {
            self.answer.store(Arc::new(state.memory.answer()));
        }
        expired
    }

    /// Whether a look-up is due, and wanted.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let state = self.state.lock();
        state.running.is_none() && state.memory.due() <= now && self.is_used(now)
    }

    /// Whether nothing would be lost with it: no requests, no addresses, no look-up.
    pub(super) fn is_forgettable(&self, now: Instant) -> bool {
        let state = self.state.lock();
        let is_empty = state.running.is_none() && state.memory.usable_until().is_none();
        is_empty && !self.is_used(now)
    }

    /// Chooses the time of the next event, which replaces earlier ones; `None`: the end of the running look-up is
    /// the next event.
    pub(super) fn next_event(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        let expiry = state.memory.usable_until();
        let look_up = match (&state.running, self.is_used(now)) {
            (Some(_), _) => None,
            (None, true) => Some(state.memory.due()),
            // Without addresses, it can be forgotten now.
            (None, false) => expiry.is_none().then_some(now),
        };
        state.event_at = expiry.into_iter().chain(look_up).min();
        state.event_at
    }

    /// Whether an event of the driver's queue is the one that was chosen last.
    pub(super) fn is_event(&self, at: Instant) -> bool {
        self.state.lock().event_at == Some(at)
    }

    pub(super) fn condition(&self, now: Instant) -> Condition {
        let state = self.state.lock();
        Condition { is_failing: state.memory.is_failing(), age: state.memory.age(now) }
    }

    /// Calls the followers.
    pub(super) fn notify(&self) {
        let followers: Vec<_> =
            self.followers.lock().all.iter().map(|(_, follower)| follower.clone()).collect();
        for follower in followers {
            if catch_unwind(AssertUnwindSafe(|| follower())).is_err() {
                error!(name = &*self.query.host, "a follower of this name has panicked");
            }
        }
    }

    fn is_used(&self, now: Instant) -> bool {
        self.usage.as_ref().is_none_or(|usage| usage.is_recent(now))
    }
}

impl Usage {
    /// Creates the usage of a name for which `waiting` requests may wait.
    pub(super) fn new(waiting: usize, now: Instant) -> Self {
        Self {
            base: now,
            used: AtomicU64::new(0),
            waiting: Semaphore::new(waiting.clamp(1, Semaphore::MAX_PERMITS)),
            turn: AtomicUsize::new(0),
        }
    }

    /// Records a request.
    pub(super) fn touch(&self, now: Instant) {
        self.used.store(self.milliseconds(now), Ordering::Relaxed);
    }

    fn is_recent(&self, now: Instant) -> bool {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        now.saturating_duration_since(self.base + used) < IDLE
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.base).as_millis().try_into().unwrap_or(u64::MAX)
    }
}

impl Flight {
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.watched.state.lock().running = None;
        self.watched.looked.cancel();
        self.ended.cancel();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(watched) = self.watched.upgrade() else { return };
        watched.followers.lock().all.retain(|(number, _)| *number != self.number);
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = self.answer.load();
        f.debug_struct("Watched").field("query", &self.query).field("answer", &answer).finish_non_exhaustive()
    }
}
