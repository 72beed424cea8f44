//! The detection of an outlier by its own answers: failures in a row, and the share of successes in a window.

use std::sync::atomic::{AtomicU32, Ordering};

use super::SlotState;
use crate::upstream::balancer::outcome::Outcome;
use crate::upstream::balancer::settings::Outlier;

/// Why an address is an outlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Consecutive(u32),
    SuccessRate(u32),
}

/// Answers of the present window.
#[derive(Debug)]
pub(super) struct Window {
    /// When it began, in milliseconds of the process.
    since: AtomicU32,
    all: AtomicU32,
    failed: AtomicU32,
}

impl Window {
    pub(super) fn new(now: u32) -> Self {
        Self { since: AtomicU32::new(now), all: AtomicU32::new(0), failed: AtomicU32::new(0) }
    }

    /// Counts an answer. Returns all and the failed ones of a window that is over.
    fn count(&self, good: bool, length: u32, now: u32) -> Option<(u32, u32)> {
        let since = self.since.load(Ordering::Relaxed);
        let over = now.wrapping_sub(since) >= length
            && self.since.compare_exchange(since, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let window =
            over.then(|| (self.all.swap(0, Ordering::Relaxed), self.failed.swap(0, Ordering::Relaxed)));
        self.all.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u32::from(!good), Ordering::Relaxed);
        window
    }

    /// Forgets the present window.
    pub(super) fn clear(&self, now: u32) {
        self.since.store(now, Ordering::Relaxed);
        self.all.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
    }
}

impl SlotState {
    /// Counts an outcome. Returns why the address should be ejected, if it should.
    pub(super) fn detect(&self, outcome: &Outcome<'_>, outlier: &Outlier, now: u32) -> Option<Reason> {
        let good = outcome.is_good(outlier)?;
        let window = (outlier.success_rate > 0.0)
            .then(|| self.window.count(good, outlier.window.as_millis() as u32, now))
            .flatten();
        let streak = self.count_streak(good);
        if outlier.consecutive > 0 && streak >= outlier.consecutive {
            return Some(Reason::Consecutive(streak));
        }
        let (all, failed) = window?;
        let rate = f64::from(all - failed.min(all)) * 100.0 / f64::from(all.max(1));
        let is_low = all > 0 && all >= outlier.min_requests && rate < outlier.success_rate;
        is_low.then_some(Reason::SuccessRate(rate as u32))
    }

    fn count_streak(&self, good: bool) -> u32 {
        if !good {
            return self.streak.fetch_add(1, Ordering::Relaxed) + 1;
        }
        // A store each time would take the cache line from other threads.
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.store(0, Ordering::Relaxed);
        }
        0
    }

    /// Forgets what was counted.
    pub(super) fn forget_answers(&self, now: u32) {
        self.streak.store(0, Ordering::Relaxed);
        self.window.clear(now);
    }
}
