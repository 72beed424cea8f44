//! What is known to be committed and is not published yet.

use std::collections::BTreeMap;

use wire::Position;

use crate::store::{Change, Commit};

/// Commits of this process, and whether the database may have more.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By revision: two that were made at the same time may come in either order.
    commits: BTreeMap<u64, Commit>,
    look: bool,
}

impl Waiting {
    /// Nothing but that the database may have more.
    pub(super) fn in_database() -> Self {
        Self { look: true, ..Self::default() }
    }

    /// A commit of this process.
    pub(super) fn commit(&mut self, commit: Commit) {
        self.commits.insert(commit.head.revision, commit);
    }

    /// The database may have more.
    pub(super) fn look(&mut self) {
        self.look = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commits.is_empty() && !self.look
    }

    /// Takes what leads on from `head` without a gap: the revision that it leads to, and the changes.
    pub(super) fn lead_on(&mut self, head: Position) -> Option<(u64, Vec<Change>)> {
        let (mut revision, mut changes) = (head.revision, Vec::new());
        while let Some(commit) = self.commits.remove(&(revision + 1)) {
            if commit.head.epoch != head.epoch {
                self.look = true;
                break;
            }
            revision += 1;
            changes.extend(commit.changes.iter().cloned());
        }
        (revision > head.revision).then_some((revision, changes))
    }

    /// Whether the database must be read: it may have more, or has what lies between `head` and a commit.
    pub(super) fn needs_database(&self, head: Position) -> bool {
        self.look || self.commits.range(head.revision + 1..).next().is_some()
    }

    /// Forgets what `head` holds.
    pub(super) fn published(&mut self, head: Position) {
        self.look = false;
        self.commits.retain(|revision, _| *revision > head.revision);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;
    use wire::Key;

    use super::*;
    use crate::store::Head;

    fn commit(epoch: u128, revision: u64) -> Commit {
        let changes = [Change { revision, key: Key::route(Uuid::from_u128(revision.into())), value: None }];
        Commit { head: Head { epoch: Uuid::from_u128(epoch), revision }, changes: Arc::new(changes) }
    }

    fn at(revision: u64) -> Position {
        Position { epoch: Uuid::from_u128(1), revision, ..Position::default() }
    }

    #[test]
    fn commits_in_any_order_lead_on_without_the_database() {
        let mut waiting = Waiting::default();
        for revision in [7, 6, 8] {
            waiting.commit(commit(1, revision));
        }
        let (revision, changes) = waiting.lead_on(at(5)).unwrap();
        assert_eq!(revision, 8);
        assert_eq!(changes.iter().map(|change| change.revision).collect::<Vec<_>>(), [6, 7, 8]);
        assert!(!waiting.needs_database(at(8)));
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_gap_is_for_the_database() {
        let mut waiting = Waiting::default();
        waiting.commit(commit(1, 6));
        waiting.commit(commit(1, 8));
        assert_eq!(waiting.lead_on(at(5)).unwrap().0, 6);
        assert!(waiting.needs_database(at(6)));
        waiting.published(at(8));
        assert!(waiting.is_empty());
    }

    #[test]
    fn another_history_is_for_the_database() {
        let mut waiting = Waiting::default();
        waiting.commit(commit(2, 6));
        assert!(waiting.lead_on(at(5)).is_none());
        assert!(waiting.needs_database(at(5)));
    }

    #[test]
    fn what_was_published_meanwhile_is_forgotten() {
        let mut waiting = Waiting::in_database();
        waiting.commit(commit(1, 5));
        assert!(waiting.lead_on(at(5)).is_none());
        waiting.published(at(5));
        assert!(waiting.is_empty());
    }
}
