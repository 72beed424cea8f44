//! The configuration in memory: canonical bytes by key, their digest, and the recent changes.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use wire::{BucketSet, Digest, EntityHash, Key, Mode, Position, Record, Root};

use crate::store::{Change, Head};

/// Changes kept in memory; what is older is read from the log.
const REMEMBERED: usize = 4096;

/// The configuration at one revision.
#[derive(Debug)]
pub(super) struct State {
    position: Position,
    entities: BTreeMap<Key, Bytes>,
    digest: Digest,
    /// The newest changes, oldest first.
    changes: VecDeque<Change>,
    /// Every change after this revision is in `changes`.
    remembered_since: u64,
}

/// What an update is made of.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) mode: Mode,
    pub(super) from: u64,
    pub(super) to: Position,
    pub(super) payload: Bytes,
}

impl State {
    pub(super) fn new(head: Head, entities: Vec<(Key, Bytes)>) -> Self {
        let mut digest = Digest::new();
        let entities: BTreeMap<Key, Bytes> = entities.into_iter().collect();
        for (key, bytes) in &entities {
            digest.set(*key, Some(EntityHash::of(*key, bytes)));
        }
        let position = Position { epoch: head.epoch, revision: head.revision, root: digest.root() };
        Self { position, entities, digest, changes: VecDeque::new(), remembered_since: head.revision }
    }

    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// Takes in the changes up to `revision`, in their order.
    pub(super) fn advance(&mut self, revision: u64, changes: Vec<Change>) {
        for change in changes {
            self.digest.set(change.key, change.value.as_ref().map(|bytes| EntityHash::of(change.key, bytes)));
            match &change.value {
                Some(bytes) => self.entities.insert(change.key, bytes.clone()),
                None => self.entities.remove(&change.key),
            };
            self.changes.push_back(change);
        }
        self.position.revision = revision;
        self.position.root = self.digest.root();
        self.forget();
    }

    /// The stretch `(from, to]` of the log that is not in memory but needed to lead on from `revision`.
    pub(super) fn missing_since(&self, revision: u64) -> Option<(u64, u64)> {
        (revision < self.remembered_since).then_some((revision, self.remembered_since))
    }

    /// Takes back into memory what was read from the log after `from`; nothing, if the log does not reach
    /// back that far any more.
    pub(super) fn recall(&mut self, from: u64, changes: Vec<Change>) {
        if from >= self.remembered_since || !is_whole(from, self.remembered_since, &changes) {
            return;
        }
        let known = self.remembered_since;
        let older: Vec<_> = changes.into_iter().filter(|change| change.revision <= known).collect();
        older.into_iter().rev().for_each(|change| self.changes.push_front(change));
        self.remembered_since = from;
    }

    /// What leads from revision `from` to the head; from nothing, a snapshot.
    pub(super) fn material(&self, from: Option<u64>) -> Material {
        match from.filter(|revision| self.missing_since(*revision).is_none()) {
            Some(from) => self.delta(from),
            None => self.snapshot(),
        }
    }

    /// All that the buckets hold that differ from `theirs`, when the head is at `revision`.
    pub(super) fn repair(&mut self, revision: u64, theirs: &[Root]) -> Option<Material> {
        if revision != self.position.revision {
            return None;
        }
        let buckets = BucketSet::differing(&self.digest.buckets(), theirs);
        let mut payload = BytesMut::from(&buckets.0[..]);
        for key in buckets.iter().flat_map(|bucket| self.digest.bucket_keys(bucket)) {
            let value = self.entities.get(&key).map(|bytes| &bytes[..]);
            Record { key, value }.encode(&mut payload);
        }
        Some(Material { mode: Mode::Repair, from: revision, to: self.position, payload: payload.freeze() })
    }

    fn snapshot(&self) -> Material {
        let mut payload = BytesMut::new();
        for (key, bytes) in &self.entities {
            Record { key: *key, value: Some(bytes) }.encode(&mut payload);
        }
        Material { mode: Mode::Snapshot, from: 0, to: self.position, payload: payload.freeze() }
    }

    /// Of several changes of one entity the last counts.
    fn delta(&self, from: u64) -> Material {
        let first = self.changes.partition_point(|change| change.revision <= from);
        let last: BTreeMap<Key, Option<&[u8]>> =
            self.changes.range(first..).map(|change| (change.key, change.value.as_deref())).collect();
        let mut payload = BytesMut::new();
        for (key, value) in last {
            Record { key, value }.encode(&mut payload);
        }
        Material { mode: Mode::Delta, from, to: self.position, payload: payload.freeze() }
    }

    /// Forgets whole revisions only, so that what is remembered has no gap.
    fn forget(&mut self) {
        while self.changes.len() > REMEMBERED {
            let Some(oldest) = self.changes.front().map(|change| change.revision) else { return };
            let count = self.changes.partition_point(|change| change.revision <= oldest);
            self.changes.drain(..count);
            self.remembered_since = oldest;
        }
        // One revision may have had 100,000 changes.
        self.changes.shrink_to(2 * REMEMBERED);
    }
}

/// Whether this is all of the log after `from` up to and with `to`: every revision has a change, and the log
/// may have been trimmed while it was read.
pub(super) fn is_whole(from: u64, to: u64, changes: &[Change]) -> bool {
    let mut at = from;
    let gapless = changes.iter().all(|change| {
        let next = change.revision == at || change.revision == at + 1;
        at = change.revision;
        next
    });
    gapless && at == to
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;
    use wire::Records;

    use super::*;

    fn empty() -> State {
        State::new(Head { epoch: Uuid::from_u128(1), revision: 0 }, Vec::new())
    }

    fn change(revision: u64, id: u8, value: Option<&[u8]>) -> Change {
        Change {
            revision,
            key: Key::route(Uuid::from_u128(u128::from(id))),
            value: value.map(Bytes::copy_from_slice),
        }
    }

    fn apply(entities: &mut BTreeMap<Key, Vec<u8>>, material: &Material) {
        if material.mode == Mode::Snapshot {
            entities.clear();
        }
        for record in Records::new(&material.payload) {
            let record = record.unwrap();
            match record.value {
                Some(bytes) => entities.insert(record.key, bytes.to_vec()),
                None => entities.remove(&record.key),
            };
        }
    }

    #[test]
    fn a_log_that_was_trimmed_leads_to_a_snapshot() {
        let head = Head { epoch: Uuid::from_u128(1), revision: 9 };
        let mut state = State::new(head, Vec::new());
        state.recall(3, vec![change(6, 1, Some(b"{}")), change(7, 2, None)]);
        assert_eq!(state.missing_since(3), Some((3, 9)));
        assert_eq!(state.material(Some(3)).mode, Mode::Snapshot);
    }

    #[test]
    fn a_repair_holds_what_differs_alone() {
        let mut ours = empty();
        ours.advance(1, (1..=20).map(|id| change(1, id, Some(b"{}"))).collect());
        let mut theirs = empty();
        theirs.advance(
            1,
            (1..=20).map(|id| change(1, id, Some(if id == 7 { b"??" } else { b"{}" }))).collect(),
        );
        let material = ours.repair(1, &theirs.digest.buckets()).unwrap();
        let payload = material.payload.slice(32..);
        let keys: Vec<_> = Records::new(&payload).map(|record| record.unwrap().key).collect();
        assert!(keys.contains(&change(1, 7, None).key));
        assert!(keys.len() < 5, "{keys:?}");
        assert!(ours.repair(2, &theirs.digest.buckets()).is_none(), "the head has moved");
    }

    proptest! {
        /// From every revision, the delta leads to what the snapshot of the head holds; also when the
        /// beginning of the log had to be read back.
        #[test]
        fn deltas_lead_to_the_snapshot(
            edits in proptest::collection::vec((any::<u8>(), proptest::option::of(any::<[u8; 2]>())), 1..30),
            recalled in 0_usize..30,
        ) {
            let log: Vec<Change> = (1..).zip(&edits).map(|(revision, (id, value))| {
                change(revision, id % 8, value.as_ref().map(|value| &value[..]))
            }).collect();
            let recalled = recalled.min(log.len());
            let mut state = empty();
            state.advance(recalled as u64, log[..recalled].to_vec());
            let mut held: Vec<BTreeMap<Key, Vec<u8>>> = Vec::new();
            let mut replay = empty();
            for (index, change) in log.iter().enumerate() {
                let mut entities = BTreeMap::new();
                apply(&mut entities, &replay.snapshot());
                held.push(entities);
                replay.advance(index as u64 + 1, vec![change.clone()]);
            }
            // A control plane that starts at `recalled` and reads the log back from the beginning.
            let (entities, head) = (state.entities.clone(), state.position);
            let mut state = State::new(
                Head { epoch: head.epoch, revision: head.revision },
                entities.into_iter().collect(),
            );
            state.advance(log.len() as u64, log[recalled..].to_vec());
            prop_assert_eq!(state.missing_since(0), (recalled > 0).then_some((0, recalled as u64)));
            state.recall(0, log[..recalled].to_vec());
            prop_assert_eq!(state.position(), replay.position());
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
