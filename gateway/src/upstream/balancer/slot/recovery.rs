//! The return of an unhealthy address without probes: after a time, one request tries it.

use std::time::Duration;

use tokio::time::Instant;

/// The most that the time doubles: to 16 times.
const MOST_DOUBLINGS: u32 = 4;

/// Where an address is on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// It is healthy, or returns by probes only.
    Off,
    /// It gets nothing until `at`. `failures` trials have failed.
    Waiting { at: Instant, failures: u32 },
    /// The next request is the trial.
    Open { failures: u32 },
    /// The trial runs.
    Running { failures: u32 },
}

impl Recovery {
    /// Waits for the next trial, after `failures` failed ones.
    pub(super) fn wait(recover_after: Duration, failures: u32, now: Instant) -> Self {
        let factor = 1 << failures.min(MOST_DOUBLINGS);
        Self::Waiting { at: now + recover_after * factor, failures }
    }

    /// Opens it at its time.
    pub(super) fn expire(&mut self, now: Instant) {
        if let Self::Waiting { at, failures } = *self
            && at <= now
        {
            *self = Self::Open { failures };
        }
    }

    /// Begins the trial, if it is open.
    pub(super) fn begin(&mut self) -> bool {
        let Self::Open { failures } = *self else { return false };
        *self = Self::Running { failures };
        true
    }

    /// Gives a trial that said nothing to the next request.
    pub(super) fn reopen(&mut self) {
        if let Self::Running { failures } = *self {
            *self = Self::Open { failures };
        }
    }

    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// When it opens.
    pub(super) fn opens_at(self) -> Option<Instant> {
        match self {
            Self::Waiting { at, .. } => Some(at),
            Self::Off | Self::Open { .. } | Self::Running { .. } => None,
        }
    }
}
