//! Merges updates by their bytes alone: a snapshot and its deltas into one snapshot, or deltas into one
//! delta. The snapshot, which may be large, is neither decoded nor encoded as a whole.

use std::collections::BTreeMap;

use wire::{BucketSet, Key, Mode, Record, Update, UpdateError, UpdateHeader, UpdateWriter, bucket_of};

use super::format::follows;

/// The combined effect of updates.
#[derive(Default)]
struct Changes {
    /// The buckets that the updates empty.
    replaced: BucketSet,
    /// Entities that the updates put (`Some`) or delete after that.
    entities: BTreeMap<Key, Option<Vec<u8>>>,
}

/// Merges `updates` into one snapshot. The first must be a snapshot, and each further one must start where
/// the one before it ends. The root is the last update's, which was compared when that update was applied.
pub(super) fn merge(updates: &[Update]) -> Result<Update, String> {
    check_order(updates)?;
    match updates {
        [] => Err("there is nothing to merge".to_owned()),
        [only] => Ok(only.clone()),
        [snapshot, changes @ .., last] => {
            let changes = Changes::read(changes.iter().chain([last]));
            let merged = changes.and_then(|changes| changes.apply_to(snapshot, &last.header));
            merged.map_err(|error| error.to_string())
        }
    }
}

/// Merges deltas into one that leads from the start of the first to the end of the last. Of several changes
/// of one entity the last counts. The root is the last delta's, and is compared when the merged delta is
/// applied.
pub(in crate::cluster) fn merge_deltas(deltas: &[Update]) -> Result<Update, String> {
    let (first, last) = match deltas {
        [] => return Err("there is nothing to merge".to_owned()),
        [only] => return Ok(only.clone()),
        [first, .., last] => (first, last),
    };
    let is_next = |pair: &[Update]| {
        pair[1].header.mode == Mode::Delta && follows(Some(pair[0].header.position()), &pair[1].header)
    };
    if first.header.mode != Mode::Delta || !deltas.windows(2).all(is_next) {
        return Err("these are not deltas of which each starts where the one before it ends".to_owned());
    }
    let changes = Changes::read(deltas.iter()).map_err(|error| error.to_string())?;
    let mut writer = UpdateWriter::new();
    for (key, value) in &changes.entities {
        let record = Record { key: *key, value: value.as_deref() };
        writer.push(&record).map_err(|error| error.to_string())?;
    }
    let merged = writer.finish(Mode::Delta, first.header.from, last.header.position());
    merged.map_err(|error| error.to_string())
}

fn check_order(updates: &[Update]) -> Result<(), String> {
    let mut end = None;
    for Update { header, .. } in updates {
        if !follows(end, header) {
            return Err(format!("a {} to revision {} is out of order", header.mode.as_str(), header.to));
        }
        end = Some(header.position());
    }
    Ok(())
}

impl Changes {
    fn read<'a>(updates: impl Iterator<Item = &'a Update>) -> Result<Self, UpdateError> {
        let mut changes = Self::default();
        for update in updates {
            let mut records = update.records()?;
            let replaced = *records.replaced();
            if replaced != BucketSet::default() {
                changes.entities.retain(|key, _| !replaced.contains(bucket_of(*key)));
                changes.replaced = changes.replaced.union(&replaced);
            }
            while let Some(Record { key, value }) = records.next_record()? {
                changes.entities.insert(key, value.map(<[u8]>::to_vec));
            }
        }
        Ok(changes)
    }

    /// Encodes the records of the snapshot that stay, then those that are put.
    fn apply_to(&self, snapshot: &Update, last: &UpdateHeader) -> Result<Update, UpdateError> {
        let mut writer = UpdateWriter::new();
        let mut records = snapshot.records()?;
        while let Some(record) = records.next_record()? {
            let goes =
                self.entities.contains_key(&record.key) || self.replaced.contains(bucket_of(record.key));
            if record.value.is_some() && !goes {
                writer.push(&record)?;
            }
        }
        for (key, value) in self.entities.iter().filter(|(_, value)| value.is_some()) {
            writer.push(&Record { key: *key, value: value.as_deref() })?;
        }
        writer.finish(Mode::Snapshot, 0, last.position())
    }
}
