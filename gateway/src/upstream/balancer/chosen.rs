//! A chosen address, counted as in flight until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use tokio::time::Instant;

use super::member::Identity;
use super::outcome::Outcome;
use super::settings::Settings;
use super::shared::UpstreamState;
use super::slot::SlotState;

/// A chosen address. It counts as a request in flight until it is dropped.
#[derive(Debug)]
pub struct Chosen {
    /// Whether it decides on the return of an unhealthy address.
    trial: bool,
    /// The request in flight. It is dropped before `_place`.
    slot: Arc<SlotState>,
    _place: Option<Place>,
}

/// What the upstream must know of a request in flight, under settings that need it.
#[derive(Debug)]
struct Place {
    upstream: Arc<UpstreamState>,
    counted: bool,
}

impl Chosen {
    pub(super) fn new(slot: Arc<SlotState>, trial: bool, settings: &Settings) -> Self {
        let counted = settings.counts_total();
        let place = (counted || settings.limits.max_requests > 0)
            .then(|| Place::new(slot.upstream_state().clone(), counted));
        Self { trial, slot, _place: place }
    }

    /// The state of the address.
    pub fn slot(&self) -> &SlotState {
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
    }
}

impl Place {
    fn new(upstream: Arc<UpstreamState>, counted: bool) -> Self {
        if counted {
            upstream.in_flight.fetch_add(1, Ordering::Relaxed);
        }
        Self { upstream, counted }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.counted {
            self.upstream.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        // A request that begins to wait either sees the place, or is seen here.
        fence(Ordering::SeqCst);
        self.upstream.free_place();
    }
}
