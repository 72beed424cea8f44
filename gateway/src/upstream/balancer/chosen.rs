//! A chosen address, counted as in flight until it is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::member::Identity;
use super::outcome::Outcome;
use super::slot::Slot;

/// A chosen address. It counts as a request in flight until it is dropped.
#[derive(Debug)]
pub struct Chosen {
    slot: Arc<Slot>,
    /// Whether it decides on the return of an unhealthy address.
    trial: bool,
    /// Whether the upstream counts it, too.
    counted: bool,
}

impl Chosen {
    pub(super) fn new(slot: Arc<Slot>, counted: bool) -> Self {
        Self { slot, trial: false, counted }
    }

    /// Makes it the trial of its address; `None` if there is one already.
    pub(super) fn into_trial(mut self, now: Instant) -> Option<Self> {
        self.trial = self.slot.begin_trial(now);
        self.trial.then_some(self)
    }

    /// The slot of the address.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Which address of which target it is.
    pub fn identity(&self) -> &Identity {
        self.slot.identity()
    }

    /// Whether the request decides on the return of an unhealthy address. It should not wait for long.
    pub fn is_trial(&self) -> bool {
        self.trial
    }

    /// Reports what became of the attempt. The first report counts for a trial.
    pub fn report(&mut self, outcome: &Outcome<'_>, now: Instant) {
        let trial = std::mem::take(&mut self.trial);
        self.slot.heard(outcome, trial, now);
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        if self.trial {
            self.report(&Outcome::Ignored, Instant::now());
        }
        let upstream = self.slot.leave();
        if self.counted {
            upstream.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
