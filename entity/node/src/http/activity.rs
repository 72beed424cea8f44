//! The state of a connection. A connection with a request has other deadlines than one without, and cannot be
//! evicted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a connection is doing, and since when it is without a request.
#[derive(Debug)]
pub(super) struct Activity {
    phase: AtomicU8,
    waiting_since: AtomicU64,
    clock: Clock,
}

/// Numbers moments in their order, for the connections that share places. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Arc<AtomicU64>);

/// A state of [`Activity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The header of the first request, or of one that has begun, is not complete.
    Header,
    /// Between two requests: no byte of the next one has arrived.
    Idle,
    /// A request is in progress.
    Busy,
    /// An answer is complete, and not all of it is written.
    Sending,
    /// Another connection has its place.
    Evicted,
}

impl Activity {
    /// A new connection: its header is awaited.
    pub(super) fn new(clock: Clock) -> Self {
        let waiting_since = AtomicU64::new(clock.tick());
        Self { phase: AtomicU8::new(Phase::Header as u8), waiting_since, clock }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Ordering::Acquire))
    }

    /// When the connection came, or became idle: the number of that moment.
    pub(super) fn waiting_since(&self) -> u64 {
        self.waiting_since.load(Ordering::Acquire)
    }

    /// A first byte of the next header has come. Whether the connection was idle until then.
    pub(super) fn begin_header(&self) -> bool {
        self.change(Phase::Header, |phase| phase == Phase::Idle)
    }

    /// A header is complete. Returns whether the request may be answered: not after an eviction.
    pub(super) fn begin_request(&self) -> bool {
        self.change(Phase::Busy, |phase| phase != Phase::Evicted)
    }

    /// An answer is complete; hyper holds what is not written of it.
    pub(super) fn begin_sending(&self) {
        self.change(Phase::Sending, |phase| phase == Phase::Busy);
    }

    /// All that hyper held is written. Whether that was the end of an answer.
    pub(super) fn end_sending(&self) -> bool {
        if self.phase() != Phase::Sending {
            return false;
        }
        // Before the phase: from then on, another connection may compare it.
        self.waiting_since.store(self.clock.tick(), Ordering::Release);
        self.change(Phase::Idle, |phase| phase == Phase::Sending)
    }

    /// Evicts the connection if it has no request.
    pub(super) fn evict(&self) -> bool {
        self.change(Phase::Evicted, Phase::is_waiting)
    }

    fn change(&self, to: Phase, from: impl Fn(Phase) -> bool) -> bool {
        let next = |phase| from(Phase::of(phase)).then_some(to as u8);
        self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }
}

impl Clock {
    fn tick(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Phase {
    fn of(number: u8) -> Self {
        [Self::Header, Self::Idle, Self::Busy, Self::Sending]
            .into_iter()
            .find(|phase| *phase as u8 == number)
            .unwrap_or(Self::Evicted)
    }

    /// Whether the connection has no request.
    pub(super) fn is_waiting(self) -> bool {
        matches!(self, Self::Header | Self::Idle)
    }
}
