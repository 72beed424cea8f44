//! The configuration in memory: canonical bytes by key, their digest, and the recent changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;
use wire::{BucketSet, Digest, EntityHash, Key, Mode, Position, Record, Root};

use super::entities::Entities;
use super::fleet_guard::Size;
use super::recent::{Recent, Revision};
use super::requirements::{Known, Lacking, Requirements};
use crate::store::{Head, LoggedChange};

/// The configuration at one revision.
#[derive(Debug)]
pub(super) struct PublishedState {
    head: Head,
    root: Root,
    content: Content,
    recent: Recent,
}

/// What the configuration consists of.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
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
    content: Parts,
}

#[derive(Debug)]
enum Parts {
    All(Entities),
    /// Revisions, and the present bytes of the entities whose changes have blanked ones. Of several changes of one
    /// entity the last counts.
    Changed(Vec<Revision>, HashMap<Key, Option<Bytes>>),
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
            Parts::All(entities) => entities.iter().for_each(|(key, bytes)| record(key, Some(bytes))),
            Parts::Changed(revisions, present) => {
                let changes = revisions.iter().flat_map(|changes| changes.iter());
                let last: BTreeMap<_, _> = changes.map(|change| (change.key, change)).collect();
                for (key, change) in last {
                    match change.superseded {
                        true => record(&key, present.get(&key).and_then(Option::as_ref)),
                        false => record(&key, change.value.as_ref()),
                    }
                }
            }
            Parts::Buckets(buckets, entities) => {
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
        let mut content = Content::default();
        entities.into_iter().for_each(|(key, bytes)| content.set(key, Some(&bytes)));
        let root = content.digest.root();
        Self { head, root, content, recent: Recent::new(head) }
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

    /// Returns a copy of the content, for [`Content::change`].
    pub(super) fn content(&self) -> Content {
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
        self.recent.has(revision, commit_token)
    }

    /// Applies the changes up to `head`, in their order. After each superseded change, the change that
    /// superseded it must come.
    pub(super) fn advance(&mut self, head: Head, revisions: Vec<Revision>) {
        self.content.change(&revisions);
        let root = self.content.digest.root();
        self.take(head, root, revisions);
    }

    /// Does the same with the content as it is after these changes. Returns the one before.
    pub(super) fn advance_to(
        &mut self,
        head: Head,
        mut content: Content,
        revisions: Vec<Revision>,
    ) -> Content {
        let root = content.digest.root();
        let replaced = std::mem::replace(&mut self.content, content);
        self.take(head, root, revisions);
        replaced
    }

    fn take(&mut self, head: Head, root: Root, revisions: Vec<Revision>) {
        (self.head, self.root) = (head, root);
        self.recent.push(revisions, head.epoch);
    }

    /// Whether all changes after `revision` are in memory.
    pub(super) const fn remembers(&self, revision: u64) -> bool {
        self.recent.remembers(revision)
    }

    /// Restores changes to memory; see [`Recent::restore`].
    pub(super) fn restore(&mut self, from: u64, read: u64, log: &mut Vec<LoggedChange>) -> Option<u64> {
        self.recent.restore(from, read, log, self.head.epoch)
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
        let Content { entities, digest, .. } = &mut self.content;
        let buckets = BucketSet::differing(&digest.buckets(), theirs);
        let keys = buckets.iter().flat_map(|bucket| digest.bucket_keys(bucket));
        let entities = keys.map(|key| (key, entities.get(&key).cloned())).collect();
        let content = Parts::Buckets(buckets, entities);
        Some(self.parts(Mode::Repair, revision, content))
    }

    fn snapshot(&self) -> UpdateParts {
        let content = Parts::All(self.entities());
        self.parts(Mode::Snapshot, 0, content)
    }

    fn parts(&self, mode: Mode, from: u64, content: Parts) -> UpdateParts {
        let requirements = Arc::clone(&self.content.requirements);
        UpdateParts { mode, from, to: self.position(), requirements, content }
    }

    fn delta(&self, from: u64) -> UpdateParts {
        let revisions = self.recent.after(from);
        let blanked = revisions.iter().flat_map(|changes| changes.iter()).filter(|change| change.superseded);
        let present = blanked.map(|change| (change.key, self.content.entities.get(&change.key).cloned()));
        let content = Parts::Changed(revisions.clone(), present.collect());
        self.parts(Mode::Delta, from, content)
    }

    /// Evicts changes that are not needed any more.
    pub(super) fn evict(&mut self) {
        self.recent.evict(self.head.epoch);
    }
}

impl Content {
    /// Makes changes, in their order.
    pub(super) fn change(&mut self, revisions: &[Revision]) {
        let changes = revisions.iter().flat_map(|changes| changes.iter());
        changes
            .filter(|change| !change.superseded)
            .for_each(|change| self.set(change.key, change.value.as_ref()));
        // The digest keeps the hashes of which it consists.
        self.digest.root();
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

    use super::super::recent::{REMEMBERED, by_revision};
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
        let bulk: Vec<_> = std::iter::repeat_with(|| change(1, 1, None)).take(3 * REMEMBERED).collect();
        state.advance(head(1), by_revision(&bulk));
        assert_eq!(state.material(Some(0)).mode, Mode::Delta);
        let last = REMEMBERED as u64 + 1;
        (2..last)
            .for_each(|revision| state.advance(head(revision), by_revision(&[change(revision, 1, None)])));
        assert!(state.remembers(0) && state.has(1, head(1).commit_token));
        state.advance(head(last), by_revision(&[change(last, 1, None)]));
        assert!(!state.remembers(0) && state.remembers(1));
        assert_eq!(state.recent.count(), REMEMBERED);
    }

    #[test]
    fn a_repair_holds_what_differs_alone() {
        let mut ours = empty();
        let changes = (1..=20).map(|id| change(1, id, Some(b"{}"))).collect::<Vec<_>>();
        ours.advance(head(1), by_revision(&changes));
        let mut theirs = empty();
        let changes = (1..=20).map(|id| change(1, id, Some(if id == 7 { b"??" } else { b"{}" })));
        theirs.advance(head(1), by_revision(&changes.collect::<Vec<_>>()));
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
            state.advance(head(recalled as u64), by_revision(&log[..recalled]));
            let mut held: Vec<BTreeMap<Key, Vec<u8>>> = Vec::new();
            let mut replay = empty();
            for (index, change) in log.iter().enumerate() {
                let mut entities = BTreeMap::new();
                apply(&mut entities, &replay.snapshot());
                held.push(entities);
                replay.advance(head(index as u64 + 1), by_revision(std::slice::from_ref(change)));
            }
            // A control plane starts at `recalled` and reads the log back from the beginning.
            let mut state = PublishedState::new(state.head(), state.content.entities.iter().map(|(key, bytes)| (*key, bytes.clone())).collect());
            state.advance(head(log.len() as u64), by_revision(&log[recalled..]));
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
