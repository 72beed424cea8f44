//! What a connection is doing: whether it has a request decides which deadline it has, and whether another
//! connection may have its place.

use std::sync::atomic::{AtomicU8, Ordering};

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Activity(AtomicU8);

/// A state of [`Activity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first header, or one that has begun, is not complete.
    Header,
    /// Between two requests: no byte of the next one has come.
    Idle,
    /// A request is being answered.
    Busy,
    /// Another connection has its place.
    Evicted,
}

impl Activity {
    /// A new connection: its header is awaited.
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Phase::Header as u8))
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::of(self.0.load(Ordering::Acquire))
    }

    /// A first byte of the next header has come.
    pub(super) fn begin_header(&self) {
        self.change(Phase::Header, |phase| phase == Phase::Idle);
    }

    /// A header is complete. Whether the request may be answered: not if the place is gone.
    pub(super) fn begin_request(&self) -> bool {
        self.change(Phase::Busy, |phase| phase != Phase::Evicted)
    }

    /// An answer is complete.
    pub(super) fn end_request(&self) {
        self.change(Phase::Idle, |phase| phase == Phase::Busy);
    }

    /// Takes the place from a connection that has no request.
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

    /// Without a request.
    pub(super) fn is_waiting(self) -> bool {
        matches!(self, Self::Header | Self::Idle)
    }
}
