//! What the slots of one upstream share, whatever its generation: counts, the queue, and the process's timers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::changes::Changes;
use super::counts::Latencies;
use super::timers::Timers;

/// State of an upstream that outlives its generations.
#[derive(Debug)]
pub(super) struct UpstreamState {
    pub(super) upstream: Uuid,
    /// Requests in flight, if the settings need them.
    pub(super) in_flight: AtomicU32,
    /// Retries that run now.
    pub(super) retries: AtomicU32,
    /// Retries since the start.
    pub(super) retries_begun: AtomicU64,
    /// Latencies since the start.
    pub(super) latencies: Latencies,
    /// Requests that wait for a place.
    waiting: AtomicU32,
    /// Notified whenever there may be a place.
    pub(super) places: Notify,
    /// Ejections so far: after failures in a row, and by a low share of successes.
    ejections: [AtomicU64; 2],
    /// Numbers the generations.
    pub(super) generations: AtomicU64,
    pub(super) process: Arc<Process>,
}

/// What all upstreams of a process share.
#[derive(Debug)]
pub(super) struct Process {
    started: Instant,
    pub(super) changes: Changes,
    pub(super) timers: Timers,
    ids: AtomicU64,
}

/// Ejections of an upstream's addresses since the data plane started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EjectionCounts {
    /// After failures in a row.
    pub consecutive: u64,
    /// By a low share of successes.
    pub success_rate: u64,
}

/// A place in the queue, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'u>(&'u UpstreamState);

/// Permission for one retry, given back when it is dropped.
#[derive(Debug)]
pub struct RetryPermit(Arc<UpstreamState>);

impl UpstreamState {
    pub(super) fn new(upstream: Uuid, process: Arc<Process>) -> Self {
        Self {
            upstream,
            in_flight: AtomicU32::new(0),
            retries: AtomicU32::new(0),
            retries_begun: AtomicU64::new(0),
            latencies: Latencies::default(),
            waiting: AtomicU32::new(0),
            places: Notify::new(),
            ejections: [AtomicU64::new(0), AtomicU64::new(0)],
            generations: AtomicU64::new(0),
            process,
        }
    }

    pub(super) fn count_ejection(&self, consecutive: bool) {
        self.ejections[usize::from(!consecutive)].fetch_add(1, Ordering::Relaxed);
    }

    /// Ejections so far.
    pub(super) fn ejections(&self) -> EjectionCounts {
        let [consecutive, success_rate] = &self.ejections;
        EjectionCounts {
            consecutive: consecutive.load(Ordering::Relaxed),
            success_rate: success_rate.load(Ordering::Relaxed),
        }
    }

    /// Whether requests wait for a place.
    pub(super) fn is_queued(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Takes a place in a queue of `most`.
    pub(super) fn queue(&self, most: u64) -> Option<Waiting<'_>> {
        if most == 0 {
            return None;
        }
        // Made first: if it is one too many, dropping it undoes the addition.
        let place = Waiting(self);
        (u64::from(self.waiting.fetch_add(1, Ordering::SeqCst)) < most).then_some(place)
    }

    /// Lets the next waiting request look for a place.
    pub(super) fn free_place(&self) {
        if self.is_queued() {
            self.places.notify_one();
        }
    }

    /// Begins a retry, if fewer than `most` run.
    pub(super) fn begin_retry(self: &Arc<Self>, most: u32) -> Option<RetryPermit> {
        let permit = RetryPermit(self.clone());
        let begins = self.retries.fetch_add(1, Ordering::Relaxed) < most;
        self.retries_begun.fetch_add(u64::from(begins), Ordering::Relaxed);
        begins.then_some(permit)
    }
}

impl Process {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, changes: Changes::default(), timers: Timers::default(), ids: AtomicU64::new(1) }
    }

    /// Returns a number that no other slot has.
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the milliseconds from the start to `now`. They wrap after 49 days; only differences count.
    pub(super) fn millis(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.started);
        (passed.as_secs() as u32).wrapping_mul(1_000).wrapping_add(passed.subsec_millis())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.0.retries.fetch_sub(1, Ordering::Relaxed);
    }
}
