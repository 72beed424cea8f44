use std::path::PathBuf;
use std::time::Duration;

use wire::Mode;

use super::desk::Next;
use super::waiting::LIMIT;
use super::*;
use crate::cluster::cache::tests::{Source, noise};

/// A desk whose thread is the test, and whose disk can be made to refuse.
struct Disk {
    desk: Desk,
    cache: Cache,
    source: Source,
    now: Instant,
    errors: usize,
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (desk, source) = (Desk::default(), Source::default());
        let mut disk = Self { desk, cache, source, now: Instant::now(), errors: 0, dir };
        disk.store(Mode::Snapshot, 10);
        disk.work();
        assert_eq!(disk.on_disk(), [1]);
        disk
    }

    fn store(&mut self, mode: Mode, len: usize) {
        let update = self.source.update(mode, &noise(len));
        self.errors += usize::from(self.desk.store(update).is_err());
    }

    /// Does what there is to do now.
    fn work(&mut self) {
        while let Next::Do(job) = self.desk.next(self.now) {
            let done = match job {
                Job::Append => self.desk.append(),
                Job::Sync(file, end) => {
                    file.sync_data().unwrap();
                    self.desk.synced(Ok(()), end)
                }
                Job::Rewrite(updates, end) => {
                    let written = self.cache.rewrite(&updates, end);
                    self.desk.rewritten(written, updates)
                }
                Job::Probe => {
                    let probed = self.cache.probe();
                    self.desk.probed(probed)
                }
            };
            if done.is_err() {
                self.errors += 1;
                self.now = Instant::now();
            }
        }
    }

    /// Long enough after the last failure.
    fn later(&mut self) {
        self.now = Instant::now() + Duration::from_secs(60);
        self.work();
    }

    /// A failing sync: from then on the file must be written anew.
    fn fail_sync(&mut self) {
        let Next::Do(Job::Sync(_, end)) = self.desk.next(self.now) else { panic!("nothing to sync") };
        let source = std::io::Error::other("made up");
        let failed = CacheError::Io { what: "sync", path: PathBuf::new(), source };
        assert!(self.desk.synced(Err(failed), end).is_err());
    }

    /// A folder in the way of the temporary file is a refusal that root meets, too.
    fn refuse(&self) {
        std::fs::create_dir(self.dir.path().join("config.log.new")).unwrap();
    }

    fn take_again(&self) {
        std::fs::remove_dir(self.dir.path().join("config.log.new")).unwrap();
    }

    fn on_disk(&self) -> Vec<u64> {
        let found = self.cache.read(Generation::Current).unwrap();
        assert_eq!(found.complaint, None);
        found.updates.iter().map(|update| update.header.to).collect()
    }
}

#[test]
fn a_delta_is_written_at_once_and_synced_by_the_thread() {
    let mut disk = Disk::new();
    disk.store(Mode::Delta, 10);
    assert_eq!(disk.on_disk(), [1, 2], "before anything else is done");
    let Next::Do(Job::Sync(_, end)) = disk.desk.next(disk.now) else { panic!("not synced") };
    assert_eq!(end, disk.source.position());
    assert!(matches!(disk.desk.next(disk.now), Next::Wait(None)));
}

#[test]
fn a_failed_sync_is_followed_by_a_new_file_without_a_further_change() {
    let mut disk = Disk::new();
    disk.store(Mode::Delta, 10);
    disk.fail_sync();
    assert!(matches!(disk.desk.next(disk.now), Next::Wait(Some(_))), "not at once");
    disk.store(Mode::Delta, 10);
    assert_eq!(disk.on_disk(), [1, 2], "nothing is appended to a file that is not trusted");
    disk.later();
    assert_eq!((disk.on_disk(), disk.errors), (vec![3], 0));
    disk.store(Mode::Delta, 10);
    assert_eq!(disk.on_disk(), [3, 4]);
}

#[test]
fn what_the_disk_refuses_is_written_when_it_takes_it_again() {
    let mut disk = Disk::new();
    disk.store(Mode::Delta, 10);
    disk.refuse();
    disk.fail_sync();
    for _ in 0..3 {
        disk.store(Mode::Delta, 10);
        disk.later();
    }
    assert_eq!((disk.on_disk(), disk.errors), (vec![1, 2], 3), "the old file stays whole");
    disk.take_again();
    disk.later();
    assert_eq!(disk.on_disk(), [5]);
}

#[test]
fn what_waits_is_bounded_and_a_snapshot_mends_what_was_dropped() {
    let mut disk = Disk::new();
    disk.refuse();
    disk.store(Mode::Snapshot, 10);
    disk.work();
    for _ in 0..=LIMIT >> 20 {
        disk.store(Mode::Delta, 1 << 20);
    }
    let errors = disk.errors;
    disk.store(Mode::Delta, 10);
    disk.later();
    assert!(disk.errors > errors && !disk.desk.wants_snapshot(), "not while it would be dropped, too");
    assert_eq!(disk.on_disk(), [1]);
    disk.take_again();
    disk.later();
    assert!(disk.desk.wants_snapshot());
    assert!(matches!(disk.desk.next(disk.now), Next::Wait(None)), "asked once");
    disk.store(Mode::Delta, 10);
    disk.later();
    assert_eq!(disk.on_disk(), [1], "a delta does not lead there");
    disk.store(Mode::Snapshot, 10);
    disk.work();
    assert!(!disk.desk.wants_snapshot());
    assert_eq!(disk.on_disk(), [disk.source.position().revision]);
}

#[test]
fn a_file_that_somebody_removed_is_made_again_from_a_snapshot() {
    let mut disk = Disk::new();
    std::fs::remove_file(disk.dir.path().join("config.log")).unwrap();
    disk.store(Mode::Delta, 2 << 20);
    disk.work();
    disk.store(Mode::Delta, 10);
    disk.work();
    disk.later();
    assert!(disk.desk.wants_snapshot());
    disk.store(Mode::Snapshot, 10);
    disk.work();
    assert_eq!(disk.on_disk(), [4]);
}

#[test]
fn at_the_end_all_that_waits_is_tried_once_more() {
    let mut disk = Disk::new();
    disk.store(Mode::Delta, 10);
    disk.refuse();
    disk.fail_sync();
    disk.later();
    disk.store(Mode::Delta, 10);
    disk.take_again();
    disk.desk.end();
    disk.work();
    assert_eq!(disk.on_disk(), [3]);
    assert!(matches!(disk.desk.next(disk.now), Next::End));
}

#[test]
fn the_thread_does_all_of_it_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let errors = IntCounter::new("errors", "of this test").unwrap();
    let mut writer = Writer::idle(errors.clone(), Arc::default());
    writer.start(Cache::open(dir.path()).unwrap(), Begin::Empty);
    let mut source = Source::default();
    for mode in [Mode::Snapshot, Mode::Delta, Mode::Snapshot, Mode::Delta, Mode::Delta] {
        writer.store(source.update(mode, b"{}"));
    }
    writer.finish();
    let found = Cache::open(dir.path()).unwrap().read(Generation::Current).unwrap();
    assert_eq!(found.updates.last().map(|last| last.header.position()), Some(source.position()));
    assert_eq!((writer.shared.status.view().disk_revision, errors.get()), (Some(5), 0));
}
