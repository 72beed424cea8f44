use std::os::unix::fs::PermissionsExt;

use uuid::Uuid;
use wire::{Digest, EntityHash, Key, Position, Record};

use super::*;

/// A configuration that grows by one entity a revision, with the updates that lead there.
struct Source {
    digest: Digest,
    revision: u64,
}

impl Source {
    fn new() -> Self {
        Self { digest: Digest::new(), revision: 0 }
    }

    fn update(&mut self, mode: Mode, value: &[u8]) -> Update {
        self.revision += 1;
        let key = Key::route(Uuid::from_u128(u128::from(self.revision)));
        if mode == Mode::Snapshot {
            self.digest = Digest::new();
        }
        self.digest.set(key, Some(EntityHash::of(key, value)));
        let mut payload = BytesMut::new();
        Record { key, value: Some(value) }.encode(&mut payload);
        let to = Position { epoch: Uuid::from_u128(1), revision: self.revision, root: self.digest.root() };
        Update::new(mode, self.revision - 1, to, payload.freeze())
    }
}

fn positions(updates: &[Update]) -> Vec<u64> {
    updates.iter().map(|update| update.header.to).collect()
}

/// A cache with a snapshot and two deltas, and its folder.
fn filled() -> (tempfile::TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::new();
    let (mut cache, recovered) = Cache::open(dir.path()).unwrap();
    assert!(recovered.updates.is_empty() && recovered.complaints.is_empty());
    for mode in [Mode::Snapshot, Mode::Delta, Mode::Delta] {
        cache.store(source.update(mode, b"{}")).unwrap();
    }
    (dir, source)
}

#[test]
fn what_was_stored_is_recovered_and_goes_on() {
    let (dir, mut source) = filled();
    let (mut cache, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [1, 2, 3]);
    cache.store(source.update(Mode::Delta, b"{}")).unwrap();
    let (_, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [1, 2, 3, 4]);
    let mode = fs::metadata(dir.path().join(CURRENT)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_cut_at_any_byte_gives_what_was_whole() {
    let (dir, _) = filled();
    let path = dir.path().join(CURRENT);
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let found = read(&path).unwrap();
        assert!(positions(&found.updates).len() < 3, "{len} bytes");
        assert!(found.complaint.is_some() || !found.updates.is_empty(), "{len} bytes");
    }
}

#[test]
fn a_flipped_bit_is_never_read_as_good() {
    let (dir, _) = filled();
    let path = dir.path().join(CURRENT);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let found = parse(&bytes.into());
        assert!(found.complaint.is_some(), "byte {at}");
        assert!(found.updates.len() < 3, "byte {at}");
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_the_one_before_it_serves() {
    let (dir, mut source) = filled();
    let (mut cache, _) = Cache::open(dir.path()).unwrap();
    cache.store(source.update(Mode::Snapshot, b"{}")).unwrap();
    fs::write(dir.path().join(CURRENT), b"not ours").unwrap();
    let (mut cache, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [1, 2, 3]);
    assert_eq!(recovered.complaints.len(), 1);
    assert!(dir.path().join(DAMAGED).exists());
    cache.store(source.update(Mode::Delta, b"{}")).unwrap();
    let (mut cache, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [1, 2, 3, 5], "what came next was built upon it");
    cache.store(source.update(Mode::Snapshot, b"{}")).unwrap();
    let (_, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [6]);
}

#[test]
fn deltas_are_merged_when_they_outgrow_the_snapshot() {
    let (dir, mut source) = filled();
    let (mut cache, _) = Cache::open(dir.path()).unwrap();
    // Noise, so that compression does not hide its length.
    let big: Vec<u8> = (0..MERGE_FROM as usize)
        .scan(7_u32, |seed, _| {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*seed >> 24) as u8)
        })
        .collect();
    cache.store(source.update(Mode::Delta, &big)).unwrap();
    cache.store(source.update(Mode::Delta, b"{}")).unwrap();
    let (_, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [5]);
    let payload = recovered.updates[0].payload().unwrap();
    let mut digest = Digest::new();
    for record in wire::Records::new(&payload) {
        let record = record.unwrap();
        digest.set(record.key, record.value.map(|bytes| EntityHash::of(record.key, bytes)));
    }
    assert_eq!(digest.root(), recovered.updates[0].header.root);
}

#[test]
fn what_the_disk_refused_is_written_with_the_next() {
    let (dir, mut source) = filled();
    let (mut cache, _) = Cache::open(dir.path()).unwrap();
    // A folder in the way of the temporary file is a refusal that also root meets.
    let blocker = dir.path().join(TEMPORARY);
    fs::create_dir(&blocker).unwrap();
    cache.file = None;
    assert!(cache.store(source.update(Mode::Delta, b"{}")).is_err());
    let (_, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [1, 2, 3], "the old file stays whole");
    fs::remove_dir(&blocker).unwrap();
    cache.store(source.update(Mode::Delta, b"{}")).unwrap();
    let (_, recovered) = Cache::open(dir.path()).unwrap();
    assert_eq!(positions(&recovered.updates), [5], "merged with what was pending");
}
