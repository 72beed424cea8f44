//! The configuration in memory: canonical bytes by key, their digest, and the recent changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use uuid::Uuid;
use wire::{BucketSet, Digest, EntityHash, Key, Mode, Position, Record, Root};

use super::chain::follow;
use super::entities::Entities;
use super::fleet_guard::Size;
use super::requirements::{Known, Lacking, Requirements};
use crate::store::{Head, LoggedChange};

/// Changes kept in memory; older ones are read from the log.
const REMEMBERED: usize = 4096;
/// How long more changes are kept after they were read from the log. A data plane that reconnects that far
/// behind is seldom the only one.
const RECALLED: Duration = Duration::from_secs(30);

/// The configuration at one revision.
#[derive(Debug)]
pub(super) struct PublishedState {
    head: Head,
    root: Root,
    content: Published,
    /// The newest changes, oldest first.
    changes: VecDeque<LoggedChange>,
    /// Every change after this one is in `changes`.
    since: Head,
    /// When changes were last read from the log.
    recalled: Option<Instant>,
}

/// What the configuration consists of.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    entities: Entities,
    digest: Digest,
    /// Shared with the updates to this revision.
    requirements: Arc<Requirements>,
}

/// The parts of an update: references, which [`UpdateParts::payload`] encodes later, since that takes long.
#[derive(Debug)]
pub(super) struct UpdateParts {
    pub(super) mode: Mode,
    pub(super) from: u64,
    pub(super) to: Position,
    pub(super) requirements: Arc<Requirements>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    All(Entities),
    /// Of several changes of one entity the last counts.
    Changed(Vec<(Key, Option<Bytes>)>),
    Buckets(BucketSet, Vec<(Key, Option<Bytes>)>),
}

impl UpdateParts {
    /// Encodes the records.
    pub(super) fn payload(&self) -> Bytes {
        let mut payload = BytesMut::new();
        let mut record = |key: &Key, value: Option<&Bytes>| {
            Record { key: *key, value: value.map(|bytes| &bytes[..]) }.encode(&mut payload);
        };
        match &self.content {
            Content::All(entities) => entities.iter().for_each(|(key, bytes)| record(key, Some(bytes))),
            Content::Changed(changed) => {
                let last: BTreeMap<_, _> = changed.iter().map(|(key, value)| (key, value.as_ref())).collect();
                last.into_iter().for_each(|(key, value)| record(key, value));
            }
            Content::Buckets(buckets, entities) => {
                payload.extend_from_slice(&buckets.0);
                for (key, value) in entities {
                    Record { key: *key, value: value.as_deref() }.encode(&mut payload);
                }
            }
        }
        payload.freeze()
    }
}

impl PublishedState {
    pub(super) fn new(head: Head, entities: Vec<(Key, Bytes)>) -> Self {
        let mut content = Published::default();
        entities.into_iter().for_each(|(key, bytes)| content.set(key, Some(&bytes)));
        let root = content.digest.root();
        Self { head, root, content, changes: VecDeque::new(), since: head, recalled: None }
    }

    pub(super) const fn head(&self) -> Head {
        self.head
    }

    pub(super) const fn size(&self) -> Size {
        Size { epoch: self.head.epoch, entities: self.content.entities.len() }
    }

    /// Returns a copy that shares the bytes.
    pub(super) fn entities(&self) -> Entities {
        self.content.entities.clone()
    }

    /// Returns a copy of the content, for [`Published::change`].
    pub(super) fn content(&self) -> Published {
        self.content.clone()
    }

    pub(super) const fn position(&self) -> Position {
        Position { epoch: self.head.epoch, revision: self.head.revision, root: self.root }
    }

    /// Returns what a data plane that knows `known` lacks of the configuration.
    pub(super) fn lacking(&self, known: &Known) -> Option<Lacking> {
        self.content.requirements.lacking(known, self.position())
    }

    /// Whether this revision is known to be in the history of the state.
    pub(super) fn has(&self, revision: u64, commit_token: Uuid) -> bool {
        if revision == self.head.revision {
            return commit_token == self.head.commit_token;
        }
        let at = self.changes.partition_point(|change| change.revision < revision);
        self.changes
            .get(at)
            .is_some_and(|change| change.revision == revision && change.commit_token == commit_token)
    }

    /// Applies the changes up to `head`, in their order. After each superseded change, the change that
    /// superseded it must come.
    pub(super) fn advance(&mut self, head: Head, changes: Vec<LoggedChange>) {
        self.content.change(&changes);
        let root = self.content.digest.root();
        self.take(head, root, changes);
    }

    /// Does the same with the content as it is after these changes.
    pub(super) fn advance_to(&mut self, head: Head, mut content: Published, changes: Vec<LoggedChange>) {
        let root = content.digest.root();
        self.content = content;
        self.take(head, root, changes);
    }

    fn take(&mut self, head: Head, root: Root, changes: Vec<LoggedChange>) {
        self.changes.extend(changes);
        (self.head, self.root) = (head, root);
        self.evict();
    }

    /// Whether all changes after `revision` are in memory.
    pub(super) const fn remembers(&self, revision: u64) -> bool {
        revision >= self.since.revision
    }

    /// Restores `log` to memory, which holds all changes after `from` up to the revision `read`. Returns the
    /// revision up to which the log must be read further, since more changes may have been evicted meanwhile.
    /// Restores nothing if the log does not reach back that far any more, or belongs to another history.
    pub(super) fn restore(&mut self, from: u64, read: u64, log: &mut Vec<LoggedChange>) -> Option<u64> {
        if self.remembers(from) {
            return None;
        }
        if read < self.since.revision {
            return Some(self.since.revision);
        }
        log.truncate(log.partition_point(|change| change.revision <= self.since.revision));
        let commit_token = log.first()?.previous;
        let begin = Head { revision: from, commit_token, ..self.head };
        if follow(begin, log) == Ok(Head { epoch: self.head.epoch, ..self.since }) {
            log.drain(..).rev().for_each(|change| self.changes.push_front(change));
            self.since = begin;
            self.recalled = Some(Instant::now());
        }
        None
    }

    /// Returns the update from revision `from` to the head; without `from`, a snapshot.
    pub(super) fn material(&self, from: Option<u64>) -> UpdateParts {
        match from.filter(|revision| self.remembers(*revision)) {
            Some(from) => self.delta(from),
            None => self.snapshot(),
        }
    }

    /// Returns the contents of the buckets that differ from `theirs`, if the head is at `revision`.
    pub(super) fn repair(&mut self, revision: u64, theirs: &[Root]) -> Option<UpdateParts> {
        if revision != self.head.revision {
            return None;
        }
        let Published { entities, digest, .. } = &mut self.content;
        let buckets = BucketSet::differing(&digest.buckets(), theirs);
        let keys = buckets.iter().flat_map(|bucket| digest.bucket_keys(bucket));
        let entities = keys.map(|key| (key, entities.get(&key).cloned())).collect();
        let content = Content::Buckets(buckets, entities);
        Some(self.parts(Mode::Repair, revision, content))
    }

    fn snapshot(&self) -> UpdateParts {
        let content = Content::All(self.entities());
        self.parts(Mode::Snapshot, 0, content)
    }

    fn parts(&self, mode: Mode, from: u64, content: Content) -> UpdateParts {
        let requirements = Arc::clone(&self.content.requirements);
        UpdateParts { mode, from, to: self.position(), requirements, content }
    }

    /// Builds a delta. A change with blanked bytes gets the present ones.
    fn delta(&self, from: u64) -> UpdateParts {
        let first = self.changes.partition_point(|change| change.revision <= from);
        let changed = self.changes.range(first..).map(|change| match change.superseded {
            true => (change.key, self.content.entities.get(&change.key).cloned()),
            false => (change.key, change.value.clone()),
        });
        let content = Content::Changed(changed.collect());
        self.parts(Mode::Delta, from, content)
    }

    /// Evicts the oldest changes, whole revisions only, so that the rest has no gap. It keeps a minimum: one
    /// revision may have 100,000 changes, and most data planes are only one behind.
    pub(super) fn evict(&mut self) {
        if self.recalled.is_some_and(|at| at.elapsed() < RECALLED) {
            return;
        }
        self.recalled = None;
        while self.changes.len() > REMEMBERED {
            let oldest = self.changes.front().map(|change| (change.revision, change.commit_token));
            let Some((revision, commit_token)) = oldest else { return };
            let count = self.changes.partition_point(|change| change.revision <= revision);
            if self.changes.len() - count < REMEMBERED {
                break;
            }
            self.changes.drain(..count);
            self.since = Head { revision, commit_token, ..self.head };
        }
        // Seldom: it moves all that are left.
        if self.changes.capacity() > 4 * self.changes.len().max(REMEMBERED) {
            self.changes.shrink_to(2 * REMEMBERED);
        }
    }
}

impl Published {
    /// Makes changes, in their order.
    pub(super) fn change(&mut self, changes: &[LoggedChange]) {
        let changes = changes.iter().filter(|change| !change.superseded);
        changes.for_each(|change| self.set(change.key, change.value.as_ref()));
    }

    fn set(&mut self, key: Key, value: Option<&Bytes>) {
        self.digest.set(key, value.map(|bytes| EntityHash::of(key, bytes)));
        let before = self.entities.get(&key).map(|bytes| &bytes[..]);
        Arc::make_mut(&mut self.requirements).change(key, before, value.map(|bytes| &bytes[..]));
        match value {
            Some(bytes) => self.entities.insert(key, bytes.clone()),
            None => self.entities.remove(&key),
        }
    }
}

/// A history for tests: the commit token of each revision is its number.
#[cfg(test)]
pub(super) mod fixture {
    use super::*;

    pub(in super::super) fn head(revision: u64) -> Head {
        Head { epoch: Uuid::from_u128(1), revision, commit_token: commit_token(revision) }
    }

    pub(in super::super) fn change(revision: u64, id: u8, value: Option<&[u8]>) -> LoggedChange {
        LoggedChange {
            revision,
            commit_token: commit_token(revision),
            previous: commit_token(revision - 1),
            key: model::Route::key(Uuid::from_u128(u128::from(id))),
            value: value.map(Bytes::copy_from_slice),
            superseded: false,
        }
    }

    fn commit_token(revision: u64) -> Uuid {
        Uuid::from_u128(revision.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Records;

    use super::fixture::{change, head};
    use super::*;

    fn empty() -> PublishedState {
        PublishedState::new(head(0), Vec::new())
    }

    fn apply(entities: &mut BTreeMap<Key, Vec<u8>>, material: &UpdateParts) {
        if material.mode == Mode::Snapshot {
            entities.clear();
        }
        for record in Records::new(&material.payload()) {
            let record = record.unwrap();
            match record.value {
                Some(bytes) => entities.insert(record.key, bytes.to_vec()),
                None => entities.remove(&record.key),
            };
        }
    }

    #[test]
    fn a_log_that_was_trimmed_leads_to_a_snapshot() {
        let mut state = PublishedState::new(head(9), Vec::new());
        let holes: [&[u64]; 4] = [&[6, 7, 8, 9], &[4, 5, 7, 8, 9], &[4, 5, 6, 7, 8], &[]];
        for hole in holes {
            assert_eq!(state.restore(3, 3, &mut Vec::new()), Some(9), "it must be read");
            let mut log: Vec<_> = hole.iter().map(|revision| change(*revision, 1, None)).collect();
            assert_eq!(state.restore(3, 9, &mut log), None);
            assert_eq!(state.material(Some(3)).mode, Mode::Snapshot, "{hole:?}");
        }
        let mut whole: Vec<_> = (4..=9).map(|revision| change(revision, 1, None)).collect();
        assert_eq!(state.restore(3, 9, &mut whole), None);
        assert_eq!(state.material(Some(3)).mode, Mode::Delta);
    }

    #[test]
    fn a_log_of_another_history_leads_to_a_snapshot() {
        let mut state =
            PublishedState::new(Head { commit_token: Uuid::from_u128(99), ..head(9) }, Vec::new());
        let mut log: Vec<_> = (4..=9).map(|revision| change(revision, 1, None)).collect();
        assert_eq!(state.restore(3, 9, &mut log), None);
        assert_eq!(state.material(Some(3)).mode, Mode::Snapshot);
        assert!(!state.has(9, head(9).commit_token) && state.has(9, Uuid::from_u128(99)));
    }

    #[test]
    fn a_revision_of_many_changes_is_remembered_until_as_many_came_after_it() {
        let mut state = empty();
        let bulk = std::iter::repeat_with(|| change(1, 1, None)).take(3 * REMEMBERED).collect();
        state.advance(head(1), bulk);
        assert_eq!(state.material(Some(0)).mode, Mode::Delta);
        let last = REMEMBERED as u64 + 1;
        (2..last).for_each(|revision| state.advance(head(revision), vec![change(revision, 1, None)]));
        assert!(state.remembers(0) && state.has(1, head(1).commit_token));
        state.advance(head(last), vec![change(last, 1, None)]);
        assert!(!state.remembers(0) && state.remembers(1));
        assert_eq!(state.changes.len(), REMEMBERED);
    }

    #[test]
    fn a_repair_holds_what_differs_alone() {
        let mut ours = empty();
        ours.advance(head(1), (1..=20).map(|id| change(1, id, Some(b"{}"))).collect());
        let mut theirs = empty();
        theirs.advance(
            head(1),
            (1..=20).map(|id| change(1, id, Some(if id == 7 { b"??" } else { b"{}" }))).collect(),
        );
        let material = ours.repair(1, &theirs.content.digest.buckets()).unwrap();
        let payload = material.payload().slice(32..);
        let keys: Vec<_> = Records::new(&payload).map(|record| record.unwrap().key).collect();
        assert!(keys.contains(&change(1, 7, None).key));
        assert!(keys.len() < 5, "{keys:?}");
        assert!(ours.repair(2, &theirs.content.digest.buckets()).is_none(), "the head has moved");
    }

    proptest! {
        /// From every revision, the delta yields the contents of the head's snapshot; also when the beginning
        /// of the log had to be read back.
        #[test]
        fn deltas_lead_to_the_snapshot(
            edits in proptest::collection::vec((any::<u8>(), proptest::option::of(any::<[u8; 2]>())), 1..30),
            recalled in 0_usize..30,
        ) {
            let log: Vec<LoggedChange> = (1..).zip(&edits).map(|(revision, (id, value))| {
                change(revision, id % 8, value.as_ref().map(|value| &value[..]))
            }).collect();
            let recalled = recalled.min(log.len());
            let mut state = empty();
            state.advance(head(recalled as u64), log[..recalled].to_vec());
            let mut held: Vec<BTreeMap<Key, Vec<u8>>> = Vec::new();
            let mut replay = empty();
            for (index, change) in log.iter().enumerate() {
                let mut entities = BTreeMap::new();
                apply(&mut entities, &replay.snapshot());
                held.push(entities);
                replay.advance(head(index as u64 + 1), vec![change.clone()]);
            }
            // A control plane starts at `recalled` and reads the log back from the beginning.
            let mut state = PublishedState::new(state.head(), state.content.entities.iter().map(|(key, bytes)| (*key, bytes.clone())).collect());
            state.advance(head(log.len() as u64), log[recalled..].to_vec());
            prop_assert_eq!(state.remembers(0), recalled == 0);
            state.restore(0, recalled as u64, &mut log[..recalled].to_vec());
            prop_assert_eq!(state.position(), replay.position());
            let loaded = state.content.entities.iter().map(|(key, bytes)| (*key, bytes.clone())).collect();
            let loaded = PublishedState::new(state.head(), loaded);
            prop_assert_eq!(&state.content.requirements, &loaded.content.requirements);
            let mut wanted = BTreeMap::new();
            apply(&mut wanted, &state.snapshot());
            for (revision, mut entities) in held.into_iter().enumerate() {
                let delta = state.material(Some(revision as u64));
                prop_assert_eq!(delta.mode, Mode::Delta);
                apply(&mut entities, &delta);
                prop_assert_eq!(&entities, &wanted);
            }
        }
    }
}
