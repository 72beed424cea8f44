//! The newest changes: a data plane that is slightly behind gets them instead of everything.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::chain::follow;
use crate::off_workers::drop_off_workers;
use crate::store::{Head, LoggedChange};

/// Changes kept in memory; older ones are read from the log.
pub(super) const REMEMBERED: usize = 4096;
/// How long more changes are kept after they were read from the log. A data plane that reconnects that far
/// behind is seldom the only one.
const RECALLED: Duration = Duration::from_secs(30);

/// All changes of one revision, in their order; at least one. There may be a million: they are never copied.
pub(super) type Revision = Arc<[LoggedChange]>;

/// The newest revisions.
#[derive(Debug)]
pub(super) struct Recent {
    /// Oldest first.
    revisions: VecDeque<Revision>,
    /// The number of their changes.
    count: usize,
    /// Every change after this one is among them.
    since: Head,
    /// When changes were last read from the log.
    recalled: Option<Instant>,
}

impl Recent {
    pub(super) const fn new(since: Head) -> Self {
        Self { revisions: VecDeque::new(), count: 0, since, recalled: None }
    }

    /// Whether this revision is known.
    pub(super) fn has(&self, revision: u64, commit_token: Uuid) -> bool {
        let known = self.revisions.get(self.place(revision)).and_then(|changes| changes.first());
        known.is_some_and(|change| change.revision == revision && change.commit_token == commit_token)
    }

    /// Whether all changes after `revision` are known.
    pub(super) const fn remembers(&self, revision: u64) -> bool {
        revision >= self.since.revision
    }

    /// The revisions after this one.
    pub(super) fn after(&self, revision: u64) -> Vec<Revision> {
        self.revisions.range(self.place(revision + 1)..).cloned().collect()
    }

    pub(super) fn push(&mut self, revisions: Vec<Revision>, epoch: Uuid) {
        self.count += count(&revisions);
        self.revisions.extend(revisions);
        self.evict(epoch);
    }

    /// Restores `log` to memory, which holds all changes after `from` up to the revision `read`. Returns the
    /// revision up to which the log must be read further, since more changes may have been evicted meanwhile.
    /// Restores nothing if the log does not reach back that far any more, or belongs to another history.
    pub(super) fn restore(
        &mut self,
        from: u64,
        read: u64,
        log: &mut Vec<LoggedChange>,
        epoch: Uuid,
    ) -> Option<u64> {
        if self.remembers(from) {
            return None;
        }
        if read < self.since.revision {
            return Some(self.since.revision);
        }
        log.truncate(log.partition_point(|change| change.revision <= self.since.revision));
        let begin = Head { epoch, revision: from, commit_token: log.first()?.previous };
        if follow(begin, log) == Ok(Head { epoch, ..self.since }) {
            let revisions = by_revision(log);
            self.count += count(&revisions);
            revisions.into_iter().rev().for_each(|revision| self.revisions.push_front(revision));
            self.since = begin;
            self.recalled = Some(Instant::now());
        }
        None
    }

    /// Evicts the oldest revisions. It keeps a minimum: one may have 100,000 changes, and most data planes are
    /// only one behind.
    pub(super) fn evict(&mut self, epoch: Uuid) {
        if self.recalled.is_some_and(|at| at.elapsed() < RECALLED) {
            return;
        }
        self.recalled = None;
        let mut evicted = Vec::new();
        while let Some(oldest) = self.revisions.front()
            && self.count - oldest.len() >= REMEMBERED
        {
            self.count -= oldest.len();
            if let Some(last) = oldest.last() {
                let (revision, commit_token) = (last.revision, last.commit_token);
                self.since = Head { epoch, revision, commit_token };
            }
            evicted.extend(self.revisions.pop_front());
        }
        if !evicted.is_empty() {
            // The state is locked meanwhile.
            drop_off_workers(evicted);
        }
    }

    #[cfg(test)]
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// The place of the first revision that is not before this one. There are no gaps.
    fn place(&self, revision: u64) -> usize {
        let first = self.revisions.front().map_or(0, |changes| changes[0].revision);
        usize::try_from(revision.saturating_sub(first)).unwrap_or(usize::MAX).min(self.revisions.len())
    }
}

/// Splits changes, in their order.
pub(super) fn by_revision(changes: &[LoggedChange]) -> Vec<Revision> {
    changes.chunk_by(|one, next| one.revision == next.revision).map(Revision::from).collect()
}

fn count(revisions: &[Revision]) -> usize {
    revisions.iter().map(|changes| changes.len()).sum()
}
