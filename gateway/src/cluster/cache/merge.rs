//! Merges updates by their bytes alone: a snapshot and the deltas after it into one snapshot, deltas into one
//! delta.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use wire::{BucketSet, Key, Mode, Record, Records, Update, bucket_of, split_repair};

use super::format::follows;

/// What one update does to what is there.
struct Step {
    /// The buckets that it empties first.
    replaced: BucketSet,
    records: Bytes,
}

/// One snapshot of what `updates` lead to, the first of which is a snapshot and each further one of which
/// starts where the one before it ends. The root is the last update's: it was compared when that went live.
pub(super) fn merge(updates: &[Update]) -> Result<Update, String> {
    check_order(updates)?;
    if let [only] = updates {
        return Ok(only.clone());
    }
    let last = updates.last().ok_or("there is nothing to merge")?;
    let steps: Vec<Step> = updates.iter().map(Step::read).collect::<Result<_, _>>()?;
    let mut entities: BTreeMap<Key, &[u8]> = BTreeMap::new();
    for step in &steps {
        if step.replaced != BucketSet::default() {
            entities.retain(|key, _| !step.replaced.contains(bucket_of(*key)));
        }
        put(&mut entities, &step.records)?;
    }
    let mut payload = BytesMut::new();
    for (key, bytes) in entities {
        Record { key, value: Some(bytes) }.encode(&mut payload);
    }
    Ok(Update::new(Mode::Snapshot, 0, last.header.position(), payload.freeze()))
}

/// One delta that leads from where the first of these deltas starts to where the last one ends. Of several changes
/// of one entity the last counts. The root is the last delta's, and compared when the merged one is applied.
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
    let steps: Vec<Step> = deltas.iter().map(Step::read).collect::<Result<_, _>>()?;
    let mut changes: BTreeMap<Key, Option<&[u8]>> = BTreeMap::new();
    for record in steps.iter().flat_map(|step| Records::new(&step.records)) {
        let Record { key, value } = record.map_err(|error| error.to_string())?;
        changes.insert(key, value);
    }
    let mut payload = BytesMut::new();
    for (key, value) in changes {
        Record { key, value }.encode(&mut payload);
    }
    Ok(Update::new(Mode::Delta, first.header.from, last.header.position(), payload.freeze()))
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

fn put<'a>(entities: &mut BTreeMap<Key, &'a [u8]>, records: &'a [u8]) -> Result<(), String> {
    for record in Records::new(records) {
        let record = record.map_err(|error| error.to_string())?;
        match record.value {
            Some(bytes) => entities.insert(record.key, bytes),
            None => entities.remove(&record.key),
        };
    }
    Ok(())
}

impl Step {
    fn read(update: &Update) -> Result<Self, String> {
        let payload = update.payload().map_err(|error| error.to_string())?;
        let (replaced, records) = match update.header.mode {
            Mode::Repair => split_repair(&payload).map_err(|error| error.to_string())?,
            Mode::Snapshot | Mode::Delta => (BucketSet::default(), payload),
        };
        Ok(Self { replaced, records })
    }
}
