//! Decides when a data plane sends which report. It has no socket and no clock.

use std::collections::VecDeque;
use std::time::Duration;

use wire::{HealthReport, ReportPart, TargetHealth};

use super::HealthSource;

/// Interval between two full reports. What a control plane has missed or dropped is wrong for so long.
const FULL_INTERVAL: Duration = Duration::from_secs(300);
/// Interval between two reports of changes. The first change is sent at once.
const CHANGES_INTERVAL: Duration = Duration::from_millis(200);
/// Bytes of changes per second, on average.
const BYTES_PER_SECOND: u64 = 64 * 1024;
/// Bytes of changes that may be sent at once: 10,000 targets that a network fault takes out together.
const BURST: i64 = 768 * 1024;
/// Targets of one report of changes.
const BATCH: usize = 1000;

/// Paces the reports of one connection. `now` is the time since any fixed moment.
#[derive(Debug)]
pub(in crate::cluster) struct HealthPacer {
    /// Frames of the current report that were not sent.
    queue: VecDeque<HealthReport>,
    full_interval: Duration,
    next_full: Duration,
    /// When the next changes may be sent.
    next_changes: Duration,
    /// The source may have changes.
    changed: bool,
    /// The revision and the number of targets that the last report named.
    reported: Option<(u64, u32)>,
    /// Bytes of changes that may be sent; negative after a large report.
    allowance: i64,
    /// When the allowance was last increased.
    refilled: Duration,
}

impl HealthPacer {
    /// Creates the pacer of a connection whose welcome has just come. `random` is in `0.0..1.0`: it keeps
    /// data planes that connect together from reporting together.
    pub(in crate::cluster) fn new(now: Duration, random: f64) -> Self {
        Self {
            queue: VecDeque::new(),
            full_interval: FULL_INTERVAL.mul_f64(0.9 + 0.2 * random),
            next_full: now,
            next_changes: now,
            changed: false,
            reported: None,
            allowance: BURST,
            refilled: now,
        }
    }

    /// Notes that a target, or the live configuration, has changed.
    pub(in crate::cluster) const fn changed(&mut self) {
        self.changed = true;
    }

    /// Returns when [`HealthPacer::next`] has something to send, at the latest.
    pub(in crate::cluster) fn deadline(&self) -> Duration {
        match (self.queue.is_empty(), self.changed) {
            (false, _) => Duration::ZERO,
            (true, true) => self.next_changes.min(self.next_full),
            (true, false) => self.next_full,
        }
    }

    /// Returns the next frame, if there is one to send now. To be called only while no earlier bytes wait, so
    /// that a slow connection carries fewer reports instead of late ones.
    pub(in crate::cluster) fn next(
        &mut self,
        source: &dyn HealthSource,
        revision: u64,
        now: Duration,
    ) -> Option<HealthReport> {
        if self.queue.is_empty() {
            let targets = u32::try_from(source.targets()).unwrap_or(u32::MAX);
            if now >= self.next_full {
                self.next_full = now + self.full_interval;
                self.reported = Some((revision, targets));
                self.queue = full(source.full(), revision, targets);
            } else if self.changed && now >= self.next_changes {
                self.take_changes(source, (revision, targets), now);
            }
        }
        self.queue.pop_front()
    }

    fn take_changes(&mut self, source: &dyn HealthSource, about: (u64, u32), now: Duration) {
        self.refill(now);
        let entries = source.take_changes(BATCH);
        let bytes: usize = entries.iter().map(TargetHealth::encoded_len).sum();
        self.allowance = self.allowance.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.changed = entries.len() >= BATCH;
        self.next_changes = now + CHANGES_INTERVAL.max(self.debt());
        if !entries.is_empty() || self.reported != Some(about) {
            self.reported = Some(about);
            self.queue = split(entries, about.0, about.1, |_, _| ReportPart::Changes);
        }
    }

    fn refill(&mut self, now: Duration) {
        let millis = u64::try_from(now.saturating_sub(self.refilled).as_millis()).unwrap_or(u64::MAX);
        // Parts of a millisecond are not lost.
        self.refilled += Duration::from_millis(millis);
        let earned = i64::try_from(millis.saturating_mul(BYTES_PER_SECOND) / 1000).unwrap_or(i64::MAX);
        self.allowance = self.allowance.saturating_add(earned).min(BURST);
    }

    /// The time until the allowance is positive again.
    fn debt(&self) -> Duration {
        let bytes = u64::try_from(self.allowance.saturating_neg()).unwrap_or(0);
        Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND)
    }
}

fn full(entries: Vec<TargetHealth>, revision: u64, targets: u32) -> VecDeque<HealthReport> {
    split(entries, revision, targets, |first, last| ReportPart::Full { first, last })
}

/// Splits a report into frames: at least one, which tells that there is nothing to tell.
fn split(
    mut entries: Vec<TargetHealth>,
    revision: u64,
    targets: u32,
    part: impl Fn(bool, bool) -> ReportPart,
) -> VecDeque<HealthReport> {
    let mut frames = VecDeque::new();
    loop {
        let later = entries.split_off(HealthReport::fitting(&entries).min(entries.len()));
        let part = part(frames.is_empty(), later.is_empty());
        frames.push_back(HealthReport { part, revision, targets, entries });
        if later.is_empty() {
            return frames;
        }
        entries = later;
    }
}
