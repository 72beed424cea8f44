use std::os::unix::fs::PermissionsExt;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use uuid::Uuid;
use wire::{Digest, EntityHash, Key, Record};

use super::*;

/// A configuration that grows by one entity a revision, with the updates that lead there.
#[derive(Default)]
pub(in crate::cluster) struct Source {
    digest: Digest,
    revision: u64,
}

impl Source {
    pub(in crate::cluster) fn update(&mut self, mode: Mode, value: &[u8]) -> Update {
        let key = model::Route::key(Uuid::from_u128(u128::from(self.revision + 1)));
        self.put(mode, key, Some(value))
    }

    /// Creates the next revision, which puts or deletes this.
    pub(in crate::cluster) fn put(&mut self, mode: Mode, key: Key, value: Option<&[u8]>) -> Update {
        self.revision += 1;
        if mode == Mode::Snapshot {
            self.digest = Digest::new();
        }
        self.digest.set(key, value.map(|value| EntityHash::of(key, value)));
        let mut payload = BytesMut::new();
        Record { key, value }.encode(&mut payload);
        Update::new(mode, self.revision - 1, self.position(), payload.freeze())
    }

    pub(in crate::cluster) fn position(&mut self) -> Position {
        Position { epoch: Uuid::from_u128(1), revision: self.revision, root: self.digest.root() }
    }
}

/// Bytes that do not compress.
pub(in crate::cluster) fn noise(len: usize) -> Vec<u8> {
    let mut seed = 7_u32;
    let next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn positions(updates: &[Update]) -> Vec<u64> {
    updates.iter().map(|update| update.header.to).collect()
}

impl Cache {
    /// Writes a new file from the contents of the folder and these updates.
    pub(in crate::cluster) fn write(&mut self, updates: &[Update], end: Position) -> Result<Log, CacheError> {
        self.rewrite(&mut Rewrite { log: None, updates: updates.to_vec(), end, purge: false })
    }
}

/// A file with a snapshot and two deltas, its folder, its contents, and the source of further updates.
fn filled() -> (tempfile::TempDir, Cache, Log, Source) {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::default();
    let mut cache = Cache::open(&dir.path().join("state")).unwrap();
    let snapshot = source.update(Mode::Snapshot, b"{}");
    let mut log = cache.write(&[snapshot], source.position()).unwrap();
    log.append(&[source.update(Mode::Delta, b"{}"), source.update(Mode::Delta, b"{}")]).unwrap();
    (dir, cache, log, source)
}

fn on_disk(cache: &Cache) -> Vec<u64> {
    positions(&cache.read(Generation::Current).unwrap().updates)
}

#[test]
fn what_was_written_is_read_and_goes_on() {
    let (_dir, cache, _, mut source) = filled();
    let found = cache.read(Generation::Current).unwrap();
    assert_eq!((positions(&found.updates), found.complaint.clone()), (vec![1, 2, 3], None));
    let mut log = cache.go_on(&found, source.position()).unwrap();
    log.append(&[source.update(Mode::Delta, b"{}")]).unwrap();
    assert_eq!(on_disk(&cache), [1, 2, 3, 4]);
}

#[test]
fn nobody_else_may_read_it() {
    let (_dir, mut cache, _, mut source) = filled();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache.dir), 0o700);
    cache.write(&[source.update(Mode::Snapshot, b"{}")], source.position()).unwrap();
    for generation in Generation::ALL {
        assert_eq!(mode(&cache.path_of(generation)), 0o600, "{generation:?}");
    }
}

#[test]
fn an_update_out_of_order_ends_what_is_read() {
    let (_dir, cache, mut log, mut source) = filled();
    source.update(Mode::Delta, b"lost");
    let mut other_history = source.update(Mode::Delta, b"{}");
    assert!(!log.leads_to(std::slice::from_ref(&other_history)));
    other_history.header.from = 3;
    other_history.header.epoch = Uuid::from_u128(2);
    assert!(!log.leads_to(std::slice::from_ref(&other_history)));
    log.append(&[other_history]).unwrap();
    let found = cache.read(Generation::Current).unwrap();
    assert_eq!(positions(&found.updates), [1, 2, 3]);
    assert!(found.complaint.unwrap().to_string().contains("out of order"));
}

#[test]
fn a_flipped_bit_is_never_read_as_good() {
    let (_dir, cache, ..) = filled();
    let whole = fs::read(cache.path(CURRENT)).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let found = format::parse(&bytes.into());
        assert!(found.complaint.is_some(), "byte {at}");
        assert!(found.updates.len() < 3, "byte {at}");
    }
}

#[test]
fn what_a_later_program_wrote_is_kept_under_a_name_of_its_own() {
    let (_dir, mut cache, _, mut source) = filled();
    let later = [b"GIBBONC\x02".as_slice(), b"what only that program understands"].concat();
    fs::write(cache.path(CURRENT), &later).unwrap();
    let found = cache.read(Generation::Current).unwrap();
    assert_eq!(found.complaint, Some(Complaint::Newer(2)));
    let aside = cache.set_aside(Generation::Current, &Complaint::Newer(2)).unwrap();
    cache.build_upon(Generation::Current, 0);
    cache.write(&[source.update(Mode::Snapshot, b"{}")], source.position()).unwrap();
    assert_eq!(aside, cache.path("config.log.v2"));
    assert_eq!(fs::read(aside).unwrap(), later);
    assert_eq!(on_disk(&cache), [4]);
    assert!(cache.read(Generation::Previous).is_none(), "it is no generation of ours");
}

#[test]
fn a_good_beginning_is_written_anew_and_the_file_before_it_stays() {
    let (_dir, mut cache, _, mut source) = filled();
    let mut log = cache.write(&[source.update(Mode::Snapshot, b"{}")], source.position()).unwrap();
    let held = source.position();
    log.append(&[source.update(Mode::Delta, b"{}")]).unwrap();
    cache.set_aside(Generation::Current, &Complaint::Damaged("a test".into())).unwrap();
    assert_eq!(on_disk(&cache), [4, 5], "until it is written anew");
    cache.build_upon(Generation::Current, 1);
    cache.write(&[], held).unwrap();
    assert_eq!(on_disk(&cache), [4]);
    assert_eq!(positions(&cache.read(Generation::Previous).unwrap().updates), [1, 2, 3]);
    assert_eq!(positions(&read(&cache.path("config.log.damaged")).unwrap().updates), [4, 5]);
}

#[test]
fn what_does_not_lead_to_what_is_live_is_not_written() {
    let (_dir, mut cache, _, mut source) = filled();
    let whole = fs::read(cache.path(CURRENT)).unwrap();
    source.update(Mode::Delta, b"lost");
    assert!(matches!(cache.write(&[], source.position()), Err(CacheError::Lost { .. })));
    let next = source.update(Mode::Delta, b"{}");
    assert!(matches!(cache.write(&[next], source.position()), Err(CacheError::Lost { .. })));
    assert_eq!(fs::read(cache.path(CURRENT)).unwrap(), whole);
}

#[test]
fn deltas_that_outgrow_the_snapshot_are_merged() {
    let (_dir, mut cache, mut log, mut source) = filled();
    assert!(log.is_compact());
    log.append(&[source.update(Mode::Delta, &noise(log::MERGE_FROM as usize))]).unwrap();
    assert!(!log.is_compact());
    let next = source.update(Mode::Delta, b"{}");
    assert!(cache.write(&[next], source.position()).unwrap().is_compact());
    let found = cache.read(Generation::Current).unwrap();
    assert_eq!(positions(&found.updates), [5]);
    let payload = found.updates[0].payload().unwrap();
    let mut digest = Digest::new();
    for record in wire::Records::new(&payload) {
        let record = record.unwrap();
        digest.set(record.key, record.value.map(|bytes| EntityHash::of(record.key, bytes)));
    }
    assert_eq!(digest.root(), found.updates[0].header.root);
}

#[test]
fn a_folder_in_the_way_is_set_aside_and_never_removed() {
    let (_dir, cache, ..) = filled();
    for expected in ["config.log.damaged", "config.log.damaged.2", "config.log.damaged.3"] {
        let current = cache.path(CURRENT);
        remove_if_there(&current).unwrap();
        fs::create_dir(&current).unwrap();
        fs::write(current.join("of somebody"), "x").unwrap();
        let found = cache.read(Generation::Current).unwrap();
        let aside = cache.set_aside(Generation::Current, &found.complaint.unwrap()).unwrap();
        assert_eq!(aside, cache.path(expected));
        assert!(aside.join("of somebody").exists());
    }
}

#[test]
fn deleted_file_is_written_again_from_the_one_that_is_open() {
    let (_dir, mut cache, log, mut source) = filled();
    fs::remove_dir_all(&cache.dir).unwrap();
    let mut from = Rewrite {
        log: Some(log),
        updates: vec![source.update(Mode::Delta, b"{}")],
        end: source.position(),
        purge: false,
    };
    let error = from.log.as_ref().unwrap().footprint().check().unwrap_err().to_string();
    assert!(error.contains("removed"), "{error}");
    cache.keep_node_id(Uuid::from_u128(7));
    cache.rewrite(&mut from).unwrap();
    assert_eq!(on_disk(&cache), [4]);
    assert_eq!(node_id::keep(&cache.dir, None).unwrap(), Uuid::from_u128(7));
    assert_eq!(fs::metadata(&cache.dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(matches!(Cache::open(&cache.dir), Err(CacheError::InUse(_))), "the new folder is locked");
}

#[test]
fn append_to_a_file_that_somebody_changed_is_refused() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("replaced", |path| {
            let other = path.with_extension("other");
            fs::copy(path, &other).unwrap();
            fs::rename(other, path).unwrap();
        }),
        ("cut", |path| File::options().write(true).open(path).unwrap().set_len(9).unwrap()),
    ];
    for (how, change) in changes {
        let (_dir, mut cache, mut log, mut source) = filled();
        change(&cache.path(CURRENT));
        let next = [source.update(Mode::Delta, b"{}")];
        assert!(log.append(&next).unwrap_err().to_string().contains(how), "{how}");
        assert!(!log.is_whole(), "{how}");
        let mut from = Rewrite { log: Some(log), updates: next.into(), end: source.position(), purge: false };
        let written = cache.rewrite(&mut from);
        // The bytes that were cut off are nowhere else.
        assert_eq!(matches!(written, Err(CacheError::Lost { .. })), how == "cut", "{written:?}");
        if how != "cut" {
            assert_eq!(on_disk(&cache), [4], "{how}");
        }
    }
}

/// A private key that was replaced is in no file, and the one that replaced it is in two.
#[test]
fn purge_leaves_no_file_with_what_was_superseded() {
    let (_dir, mut cache, log, mut source) = filled();
    drop(log);
    // Of a kind that may hold secrets: first put, then deleted.
    let key = Key { kind: wire::Kind(199), id: Uuid::from_u128(1) };
    let mut log =
        cache.write(&[source.put(Mode::Snapshot, key, Some(b"SECRET"))], source.position()).unwrap();
    log.append(&[source.put(Mode::Delta, key, Some(b"SECOND"))]).unwrap();
    cache.set_aside(Generation::Current, &Complaint::Damaged("a test".into())).unwrap();
    cache.set_aside(Generation::Current, &Complaint::Newer(9)).unwrap();
    assert!(cache.has_superseded_secrets());
    let mut from = Rewrite { log: Some(log), updates: Vec::new(), end: source.position(), purge: true };
    cache.rewrite(&mut from).unwrap();
    let files: Vec<_> = fs::read_dir(&cache.dir).unwrap().flatten().collect();
    let holding = |text: &[u8]| {
        let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text);
        files.iter().filter(|file| holds(fs::read(file.path()).unwrap())).count()
    };
    assert_eq!((holding(b"SECRET"), holding(b"SECOND")), (0, 2), "{files:?}");
    assert!(!cache.has_superseded_secrets());
    assert!(files.iter().all(|file| file.metadata().unwrap().permissions().mode() & 0o777 == 0o600));
}

#[test]
fn names_of_files_that_were_set_aside_are_known() {
    for name in [
        "config.log.damaged",
        "config.log.1.damaged",
        "config.log.v2",
        "config.log.1.v12.3",
        "config.log.damaged.2",
    ] {
        assert!(is_set_aside(name), "{name}");
    }
    for name in
        ["config.log", "config.log.1", "config.log.new", "config.log.version", "node_id", "config.log.v"]
    {
        assert!(!is_set_aside(name), "{name}");
    }
}

/// Damage to a file: bytes replaced, inserted, cut off.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Drop(prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        at().prop_map(Damage::Cut),
        (at(), 1..=u8::MAX).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (at(), prop::collection::vec(any::<u8>(), 1..60)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at(), 1..60_usize).prop_map(|(at, len)| Damage::Drop(at, len)),
    ]
}

impl Damage {
    fn to(&self, bytes: &mut Vec<u8>) {
        let within = |at: &prop::sample::Index| at.index(bytes.len() + 1).min(bytes.len());
        match self {
            Self::Cut(at) => bytes.truncate(within(at)),
            Self::Flip(at, bits) => {
                let at = within(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Self::Insert(at, inserted) => {
                let at = within(at);
                bytes.splice(at..at, inserted.iter().copied());
            }
            Self::Drop(at, len) => {
                let at = within(at);
                let end = (at + len).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}

proptest! {
    /// One merged delta has the effect of several in sequence, whatever they put, replace and delete.
    #[test]
    fn merged_deltas_do_what_they_do_one_by_one(
        edits in prop::collection::vec((0..6_u128, prop::option::of(any::<[u8; 2]>())), 2..20),
    ) {
        let updates: Vec<_> = (0..).zip(&edits).map(|(from, (id, value))| {
            let mut payload = BytesMut::new();
            let value = value.as_ref().map(|value| &value[..]);
            Record { key: model::Route::key(Uuid::from_u128(*id)), value }.encode(&mut payload);
            let mode = if from == 0 { Mode::Snapshot } else { Mode::Delta };
            let to = Position { epoch: Uuid::from_u128(1), revision: from + 1, ..Position::default() };
            Update::new(mode, from, to, payload.freeze())
        }).collect();
        let merged = merge_deltas(&updates[1..]).unwrap();
        let at_once = merge::merge(&[updates[0].clone(), merged]).unwrap();
        prop_assert_eq!(at_once.to_bytes(), merge::merge(&updates).unwrap().to_bytes());
        if updates.len() > 3 {
            prop_assert!(merge_deltas(&[updates[1].clone(), updates[3].clone()]).is_err(), "a gap");
        }
        prop_assert!(merge_deltas(&updates).is_err(), "a snapshot is no delta");
    }

    /// Whatever happens to a file, the updates read are those written, from the first on. If some are
    /// missing, there is a reason.
    #[test]
    fn any_damage_leaves_a_beginning(
        sizes in prop::collection::vec(0..900_usize, 1..6),
        damages in prop::collection::vec(damage(), 1..4),
    ) {
        let mut source = Source::default();
        let updates: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(at, size)| source.update(if at == 0 { Mode::Snapshot } else { Mode::Delta }, &noise(*size)))
            .collect();
        let mut bytes = Vec::new();
        format::write_file(&updates[0], &mut bytes).unwrap();
        bytes.extend_from_slice(&format::entries(&updates[1..]));
        let whole = bytes.clone();
        damages.iter().for_each(|damage| damage.to(&mut bytes));
        let changed = bytes != whole;
        let found = format::parse(&Bytes::from(bytes));
        prop_assert!(found.updates.len() <= updates.len());
        for (read, written) in found.updates.iter().zip(&updates) {
            prop_assert_eq!(read.to_bytes(), written.to_bytes());
        }
        // A cut between two entries is a shorter file, not a damaged one.
        let shorter = found.complaint.is_none() && found.good_len < whole.len() as u64;
        prop_assert_eq!(found.complaint.is_some() || shorter, changed, "{:?}", found.complaint);
    }
}
