//! The state of one address of one target: its health, its requests in flight, its latency. A slot outlives the
//! generations of its upstream's balancer, and so every change of the configuration that does not concern it.

mod change;
mod events;
mod outliers;
mod recovery;
mod saved;

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Instant;

use self::outliers::Window;
use self::recovery::Recovery;
pub use self::saved::SavedSlot;
use super::availability::{Availability, Served};
use super::counts::{AttemptCounts, Attempts};
use super::ejection::Ejections;
use super::load::Load;
use super::machine::{Health, Machine};
use super::member::Identity;
use super::settings::{Initial, Limits, Settings, SlowStart};
use super::shared::UpstreamState;
use super::timers::Timed;

/// One request may try the address.
const TRIAL: u32 = 1;
/// The address waits for its first probe.
const UNKNOWN: u32 = 1 << 1;
/// A success changes something.
const ATTENTIVE: u32 = 1 << 2;
/// The address does not have its full share yet.
const WARMING: u32 = 1 << 3;
/// The address is healthy and not ejected.
const SERVING: u32 = 1 << 4;

/// A place for the state of one address of one target. Whatever holds the state for long holds its slot; only a
/// request in flight holds the state itself. So the references to the state are the count of requests.
#[derive(Debug)]
pub struct Slot(Arc<SlotState>);

/// The state of one address of one target.
#[derive(Debug)]
#[repr(align(128))]
pub struct SlotState {
    /// What a choice must know beyond the availability: the flags above.
    flags: AtomicU32,
    load: Load,
    attempts: Attempts,
    /// Failures in a row, for the detection of outliers.
    streak: AtomicU32,
    window: Window,
    /// When the slow start began, in milliseconds of the process.
    warm_since: AtomicU32,
    id: u64,
    number: u64,
    identity: Identity,
    created: Instant,
    upstream: Arc<UpstreamState>,
    settings: ArcSwap<Settings>,
    slot: Weak<Slot>,
    me: Weak<Self>,
    inner: Mutex<Inner>,
}

/// What an operator sees of an address.
#[derive(Clone, Debug)]
pub struct SlotReport {
    /// Its health.
    pub health: Health,
    /// Whether it is ejected as an outlier.
    pub ejected: bool,
    /// Whether an operator's word holds its health.
    pub pinned: bool,
    /// Requests in flight.
    pub in_flight: u32,
    /// Attempts since the start.
    pub attempts: AttemptCounts,
    /// When it last began or ceased to serve.
    pub since: SystemTime,
    /// The last failure that was counted.
    pub last_error: Option<Arc<str>>,
}

#[derive(Debug)]
struct Inner {
    machine: Machine,
    pin: Option<Pin>,
    ejections: Ejections,
    recovery: Recovery,
    /// When the last operation was set, in milliseconds since 1970.
    operation: u64,
    since: SystemTime,
    last_error: Option<Arc<str>>,
    /// The views that the address is a member of, the newest last.
    views: SmallVec<[(Weak<Availability>, usize); 2]>,
    /// What the views have.
    served: Served,
    /// Whether it serves, as `since` has it.
    serving: bool,
    /// Whether its changes are reported: all but the first state.
    announced: bool,
    /// The generation whose settings apply.
    generation: u64,
}

/// An operator's word on the health, until a deadline.
#[derive(Clone, Copy, Debug)]
struct Pin {
    health: Health,
    until: Instant,
}

impl Slot {
    pub(super) fn new(
        identity: Identity,
        upstream: Arc<UpstreamState>,
        settings: Arc<Settings>,
        saved: Option<SavedSlot>,
        now: Instant,
    ) -> Arc<Self> {
        let health = match settings.initial {
            Initial::Healthy => Health::Healthy,
            Initial::Unknown => Health::Unknown,
        };
        let mut inner = Inner::new(health);
        if let Some(saved) = saved {
            inner.restore(saved, now);
        }
        let state = |slot: &Weak<Self>| {
            Arc::new_cyclic(|me| SlotState {
                flags: AtomicU32::new(0),
                load: Load::new(),
                attempts: Attempts::default(),
                streak: AtomicU32::new(0),
                window: Window::new(upstream.process.millis(now)),
                warm_since: AtomicU32::new(0),
                id: upstream.process.next_id(),
                number: identity.number(),
                identity,
                created: now,
                upstream,
                settings: ArcSwap::new(settings),
                slot: slot.clone(),
                me: me.clone(),
                inner: Mutex::new(inner),
            })
        };
        let slot = Arc::new_cyclic(|slot| Self(state(slot)));
        slot.begin(now);
        slot.serve_without_checks(now);
        slot
    }

    /// Counts a request in flight until the state is dropped, if the limit allows it.
    pub(super) fn enter(&self, limits: &Limits) -> Option<Arc<SlotState>> {
        let state = Arc::clone(&self.0);
        // Two at a time may both be refused at the limit. Never is one too many let in.
        if limits.max_requests == 0 || state.in_flight() <= limits.max_requests {
            return Some(state);
        }
        drop(state);
        if self.0.in_flight() < limits.max_requests {
            // Those that were refused together would all wait at a place that is free.
            self.0.upstream.free_place();
        }
        None
    }
}

impl Timed for Slot {
    fn expire(self: Arc<Self>, now: Instant) {
        SlotState::expire(&self, now);
    }
}

impl Deref for Slot {
    type Target = SlotState;

    fn deref(&self) -> &SlotState {
        &self.0
    }
}

impl SlotState {
    /// Which address of which target it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The id of its upstream.
    pub fn upstream(&self) -> uuid::Uuid {
        self.upstream.upstream
    }

    /// Number of the address that is the same in all data planes: the id in a sticky session's cookie.
    pub fn sticky_id(&self) -> u64 {
        self.number
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        // The slot itself holds the state, too.
        (self.me.strong_count() as u32).saturating_sub(1)
    }

    /// Whether its health lets it serve. Its schedule of probes depends on it. An ejection does not count.
    pub fn is_healthy(&self) -> bool {
        self.inner.lock().health().is_serving()
    }

    /// What an operator sees of it.
    pub fn report(&self) -> SlotReport {
        let inner = self.inner.lock();
        SlotReport {
            health: inner.health(),
            ejected: inner.is_ejected(),
            pinned: inner.pin.is_some(),
            in_flight: self.in_flight(),
            attempts: self.attempts.counts(),
            since: inner.since,
            last_error: inner.last_error.clone(),
        }
    }

    /// Takes part in a view as its member `index`, if the algorithms may choose it.
    pub(super) fn attach(&self, view: &Arc<Availability>, index: usize, eligible: bool) {
        let mut inner = self.inner.lock();
        inner.views.retain(|(view, _)| view.strong_count() > 0);
        if eligible {
            inner.views.push((Arc::downgrade(view), index));
            view.set(index, inner.served);
        }
    }

    /// Applies the settings of `generation`, unless those of a later one apply.
    pub(super) fn configure(&self, settings: &Arc<Settings>, generation: u64, now: Instant) {
        let mut inner = self.inner.lock();
        if generation < inner.generation || Arc::ptr_eq(&self.settings.load(), settings) {
            return;
        }
        inner.generation = generation;
        self.settings.store(settings.clone());
        drop(inner);
        self.serve_without_checks(now);
        self.expire(now);
    }

    /// Begins a slow start.
    pub(super) fn warm_up(&self, now: Instant) {
        self.warm_since.store(self.upstream.process.millis(now), Ordering::Relaxed);
        self.flags.fetch_or(WARMING, Ordering::Relaxed);
    }

    /// Expects the latency of other addresses until an answer comes.
    pub(super) fn seed_latency(&self, micros: f32, now: u32) {
        self.load.seed(micros, now);
    }

    /// The milliseconds of the process at `now`.
    pub(super) fn millis(&self, now: Instant) -> u32 {
        self.upstream.process.millis(now)
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created)
    }

    /// The expected latency at `now`, in microseconds.
    pub(super) fn expected_latency(&self, now: u32) -> f32 {
        self.load.expected(now)
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & UNKNOWN != 0
    }

    /// Whether sticky sessions may enter.
    pub(super) fn is_serving(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & SERVING != 0
    }

    /// Its present share of its weight, from 0 to 1.
    pub(super) fn warmth(&self, slow_start: Option<&SlowStart>, now: u32) -> f32 {
        if self.flags.load(Ordering::Relaxed) & WARMING == 0 {
            return 1.0;
        }
        let passed = now.wrapping_sub(self.warm_since.load(Ordering::Relaxed));
        let share = slow_start.map_or(1.0, |start| start.share(Duration::from_millis(u64::from(passed))));
        if share >= 1.0 {
            self.flags.fetch_and(!WARMING, Ordering::Relaxed);
        }
        share
    }

    pub(super) fn upstream_state(&self) -> &Arc<UpstreamState> {
        &self.upstream
    }

    /// Whether a choice of it is a trial, of which there is one at a time.
    pub(super) fn needs_trial(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & TRIAL != 0
    }
}

impl Inner {
    fn new(health: Health) -> Self {
        Self {
            machine: Machine::new(health),
            pin: None,
            ejections: Ejections::default(),
            recovery: Recovery::Off,
            operation: 0,
            since: SystemTime::now(),
            last_error: None,
            views: SmallVec::new(),
            served: Served::default(),
            serving: true,
            announced: false,
            generation: 0,
        }
    }

    fn health(&self) -> Health {
        self.pin.map_or(self.machine.health(), |pin| pin.health)
    }

    fn is_ejected(&self) -> bool {
        self.pin.is_none() && self.ejections.until().is_some()
    }
}
