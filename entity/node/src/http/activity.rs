//! The state of a connection. A connection with a request has other deadlines than one without, and cannot be
//! evicted.

use std::sync::atomic::{AtomicU8, Ordering};

/// The state of a connection, shared by its stream, its requests and the places.
#[derive(Debug)]
pub(super) struct Activity(AtomicU8);

/// A state of [`Activity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The header of the first request, or of one that has begun, is not complete.
    Header,
    /// Between two requests: no byte of the next one has arrived.
    Idle,
    /// A request is in progress.
    Busy,
    /// Another connection has taken the place.
    Evicted,
}

impl Activity {
    /// The state of a new connection: it waits for a header.
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Phase::Header as u8))
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::of(self.0.load(Ordering::Acquire))
    }

    /// The first byte of the next header has arrived.
    pub(super) fn begin_header(&self) {
        self.change(Phase::Header, |phase| phase == Phase::Idle);
    }

    /// A header is complete. Returns whether the request may be answered: not after an eviction.
    pub(super) fn begin_request(&self) -> bool {
        self.change(Phase::Busy, |phase| phase != Phase::Evicted)
    }

    /// An answer is complete.
    pub(super) fn end_request(&self) {
        self.change(Phase::Idle, |phase| phase == Phase::Busy);
    }

    /// Evicts the connection if it has no request.
    pub(super) fn evict(&self) -> bool {
        self.change(Phase::Evicted, Phase::is_waiting)
    }

    fn change(&self, to: Phase, from: impl Fn(Phase) -> bool) -> bool {
        let next = |phase| from(Phase::of(phase)).then_some(to as u8);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }
}

impl Phase {
    fn of(number: u8) -> Self {
        [Self::Header, Self::Idle, Self::Busy]
            .into_iter()
            .find(|phase| *phase as u8 == number)
            .unwrap_or(Self::Evicted)
    }

    /// Whether the connection has no request.
    pub(super) fn is_waiting(self) -> bool {
        matches!(self, Self::Header | Self::Idle)
    }
}
