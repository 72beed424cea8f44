//! Commits that are known and not published yet.

use std::collections::BTreeMap;

use super::chain::follow;
use super::recent::Revision;
use super::state::PublishedState;
use crate::store::{Commit, Head};

/// Commits of this process, and whether the database may have more.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By revision: two simultaneous commits may arrive in either order.
    commits: BTreeMap<u64, Commit>,
    /// Whether some of them were missed.
    missed: bool,
    look: bool,
}

impl Waiting {
    /// Adds a commit of this process.
    pub(super) fn commit(&mut self, commit: Commit) {
        self.commits.insert(commit.head.revision, commit);
    }

    /// Notes that commits of this process were missed: the database has them.
    pub(super) const fn missed(&mut self) {
        (self.missed, self.look) = (true, true);
    }

    /// Notes that the database may have more.
    pub(super) const fn look(&mut self) {
        self.look = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commits.is_empty() && !self.look
    }

    /// Whether a commit of this process waits.
    pub(super) fn has_commits(&self) -> bool {
        !self.commits.is_empty() || self.missed
    }

    /// Whether a waiting commit may follow `revision` without the database.
    pub(super) fn may_lead_on(&self, revision: u64) -> bool {
        self.commits.contains_key(&(revision + 1))
    }

    /// Drops the commits that `state` has.
    pub(super) fn forget_known(&mut self, state: &PublishedState) {
        self.commits.retain(|revision, commit| !state.has(*revision, commit.head.commit_token));
    }

    /// Takes the commits that follow `head`, without a gap and in its history. Returns the new head and the
    /// revisions up to it.
    pub(super) fn lead_on(&mut self, head: Head) -> Option<(Head, Vec<Revision>)> {
        let (mut at, mut revisions) = (head, Vec::new());
        while let Some(commit) = self.commits.remove(&(at.revision + 1)) {
            if follow(at, &commit.changes) != Ok(commit.head) {
                self.look = true;
                break;
            }
            at = commit.head;
            revisions.push(commit.changes);
        }
        (at != head).then_some((at, revisions))
    }

    /// Whether the database must be read. It may have more commits, or those between the head and a waiting
    /// commit, or show why a commit repeats a revision number.
    pub(super) fn needs_database(&self) -> bool {
        !self.is_empty()
    }

    /// Drops all commits after the database was read: one that it did not show does not exist any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::recent::by_revision;
    use super::super::state::fixture::{change, head};
    use super::*;

    fn commit(revision: u64) -> Commit {
        Commit { head: head(revision), changes: [change(revision, 1, None)].into() }
    }

    #[test]
    fn commits_in_any_order_lead_on_without_the_database() {
        let mut waiting = Waiting::default();
        for revision in [7, 6, 8] {
            waiting.commit(commit(revision));
        }
        let (at, revisions) = waiting.lead_on(head(5)).unwrap();
        assert_eq!(at, head(8));
        assert_eq!(revisions.iter().map(|changes| changes[0].revision).collect::<Vec<_>>(), [6, 7, 8]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_gap_is_for_the_database() {
        let mut waiting = Waiting::default();
        waiting.commit(commit(6));
        waiting.commit(commit(8));
        assert_eq!(waiting.lead_on(head(5)).unwrap().0, head(6));
        assert!(waiting.needs_database());
        waiting.clear();
        assert!(waiting.is_empty(), "also of what the database has lost");
    }

    #[test]
    fn another_history_is_for_the_database() {
        for other in [
            Head { epoch: Uuid::from_u128(2), ..head(5) },
            Head { commit_token: Uuid::from_u128(99), ..head(5) },
        ] {
            let mut waiting = Waiting::default();
            waiting.commit(commit(6));
            assert!(waiting.lead_on(other).is_none());
            assert!(waiting.needs_database());
        }
    }

    #[test]
    fn what_was_published_meanwhile_is_forgotten_and_what_has_its_number_alone_is_not() {
        let mut state = PublishedState::new(head(4), Vec::new());
        state.advance(head(5), by_revision(&[change(5, 1, None)]));
        state.advance(head(6), by_revision(&[change(6, 1, None)]));
        let mut waiting = Waiting::default();
        waiting.commit(commit(5));
        waiting.commit(commit(6));
        waiting.forget_known(&state);
        assert!(waiting.is_empty());
        let other = Head { commit_token: Uuid::from_u128(99), ..head(5) };
        waiting.commit(Commit { head: other, ..commit(5) });
        waiting.forget_known(&state);
        assert!(waiting.lead_on(state.head()).is_none());
        assert!(waiting.needs_database());
    }
}
