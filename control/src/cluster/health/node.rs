//! The report of one data plane: complete, and in the making.

use std::time::Duration;

use tokio::time::Instant;
use wire::{HealthReport, ReportPart, TargetHealth};

use super::entries::{Entries, Finding};
use super::{GRACE, Sighted, TargetCounts, Wanted};
use crate::metrics::health::{MEMORY, RATE};

/// How long a report counts without another full one: several intervals of a data plane.
const MAX_AGE: Duration = Duration::from_secs(1800);
/// Entries per second, on average. A data plane sends a fifth of it.
const ENTRIES_PER_SECOND: u64 = 5000;
/// Entries at once: a full report, and the next one after a reconnect.
const BURST: u64 = 400_000;
/// Margin for the order of a write and of a report, in milliseconds.
const MARGIN: i64 = 1000;

/// Entries that were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// How many.
    pub(super) entries: u64,
    /// Why, as metrics spell it.
    pub(super) reason: &'static str,
}

/// The health that one data plane reports.
#[derive(Debug)]
pub(super) struct NodeHealth {
    /// The last complete report, with the changes since; `None` before the first.
    known: Option<Entries>,
    /// The full report that is arriving.
    incoming: Option<Entries>,
    revision: u64,
    /// When the revision changed, in milliseconds since 1970.
    revised_at: i64,
    targets: u32,
    /// When the last report came, in seconds since 1970.
    reported_at: i64,
    /// When the last full report was complete.
    full_at: Instant,
    /// Since when the report belongs to an earlier connection.
    outdated: Option<Instant>,
    /// Entries that may be taken, and when that was counted.
    allowance: (u64, Instant),
}

impl NodeHealth {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            known: None,
            incoming: None,
            revision: 0,
            revised_at: 0,
            targets: 0,
            reported_at: 0,
            full_at: now,
            outdated: None,
            allowance: (BURST, now),
        }
    }

    /// Notes that a connection has ended or begun: only a full report confirms what is known.
    pub(super) fn disconnected(&mut self, now: Instant) {
        self.incoming = None;
        self.outdated.get_or_insert(now);
    }

    /// Takes a report; `now_seconds` is the time since 1970. Returns what was dropped of it, and the entries
    /// that it has replaced, which the caller frees.
    pub(super) fn take(
        &mut self,
        report: HealthReport,
        now: Instant,
        now_seconds: i64,
    ) -> (Option<Dropped>, Option<Entries>) {
        let HealthReport { part, revision, targets, entries } = report;
        if self.revision != revision {
            (self.revision, self.revised_at) = (revision, now_seconds.saturating_mul(1000));
        }
        (self.targets, self.reported_at) = (targets, now_seconds);
        if let ReportPart::Full { first: true, .. } = part {
            self.incoming = Some(Entries::default());
        }
        let count = entries.len() as u64;
        let dropped = if self.admits(count, now) {
            let refused =
                entries.into_iter().map(|entry| self.put(part, entry)).filter(|kept| !kept).count() as u64;
            (refused > 0).then_some(Dropped { entries: refused, reason: MEMORY })
        } else {
            self.known.iter_mut().chain(&mut self.incoming).for_each(Entries::cut);
            Some(Dropped { entries: count, reason: RATE })
        };
        (dropped, self.complete(part, now))
    }

    fn put(&mut self, part: ReportPart, entry: TargetHealth) -> bool {
        let incoming = self.incoming.as_mut();
        if let ReportPart::Full { .. } = part {
            // Without its beginning, the rest of a report says nothing.
            return incoming.is_none_or(|incoming| incoming.put(entry));
        }
        let arrives = incoming.is_none_or(|incoming| incoming.put(entry.clone()));
        self.known.as_mut().is_none_or(|known| known.put(entry)) && arrives
    }

    fn complete(&mut self, part: ReportPart, now: Instant) -> Option<Entries> {
        let ReportPart::Full { last: true, .. } = part else { return None };
        let incoming = self.incoming.take()?;
        (self.full_at, self.outdated) = (now, None);
        self.known.replace(incoming)
    }

    fn admits(&mut self, count: u64, now: Instant) -> bool {
        let (left, at) = self.allowance;
        let millis = u64::try_from((now - at).as_millis()).unwrap_or(u64::MAX);
        let left = left.saturating_add(millis.saturating_mul(ENTRIES_PER_SECOND) / 1000).min(BURST);
        // Parts of a millisecond are not lost.
        let at = if left == BURST { now } else { at + Duration::from_millis(millis) };
        let rest = left.checked_sub(count);
        self.allowance = (rest.unwrap_or(left), at);
        rest.is_some()
    }

    /// Whether nothing of its report was dropped.
    pub(super) fn is_whole(&self) -> bool {
        self.known.iter().chain(&self.incoming).all(Entries::is_whole)
    }

    /// Whether its report counts.
    pub(super) fn is_reporting(&self, now: Instant) -> bool {
        self.known.is_some() && !self.is_over(now)
    }

    /// Whether its report counts no more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let outdated = self.outdated.is_some_and(|since| now - since >= GRACE);
        outdated || now - self.full_at >= MAX_AGE
    }

    /// Returns the state of a target.
    pub(super) fn sighted(&self, wanted: Wanted, head: u64) -> Sighted {
        let Some(known) = &self.known else { return Sighted::Unknown };
        match known.get(wanted.target) {
            Some(entry) => Sighted::Named(entry.clone()),
            None if !known.is_whole() || self.may_lack(wanted, head) => Sighted::Unknown,
            None => Sighted::Plain,
        }
    }

    /// Whether the data plane may not have the target yet.
    const fn may_lack(&self, wanted: Wanted, head: u64) -> bool {
        self.revision != head && wanted.created_at + MARGIN >= self.revised_at
    }

    /// Returns its targets by finding, those that the report does not name included.
    pub(super) fn by_finding(&self) -> [u32; Finding::ALL.len()] {
        let mut counts = self.known.as_ref().map_or([0; Finding::ALL.len()], Entries::counts);
        let named: u32 = counts.iter().sum();
        counts[Finding::Healthy.index()] += self.targets.saturating_sub(named);
        counts
    }

    /// Returns its targets in numbers.
    pub(super) fn counts(&self) -> TargetCounts {
        let counts = self.by_finding();
        TargetCounts {
            targets: self.targets,
            unhealthy: counts[Finding::Unhealthy.index()],
            dns_error: counts[Finding::DnsError.index()],
            reported_at: self.reported_at,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.as_ref().map_or(0, Entries::len)
    }
}
