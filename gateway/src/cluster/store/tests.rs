use std::path::PathBuf;
use std::time::Duration;

use wire::Mode;

use super::waiting::LIMIT;
use super::*;
use crate::cluster::cache::tests::{Source, noise};

mod days;
mod hanging;

/// A queue whose threads are the test, and whose disk can be made to refuse.
struct Disk {
    queue: WriteQueue,
    cache: Cache,
    source: Source,
    now: Instant,
    errors: usize,
    /// Jobs done.
    turns: usize,
    /// Jobs that fail without being tried.
    refuses: fn(&Job) -> bool,
    dir: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let (queue, source, now) = (WriteQueue::default(), Source::default(), Instant::now());
        let mut disk = Self { queue, cache, source, now, errors: 0, turns: 0, refuses: |_| false, dir };
        disk.store(Mode::Snapshot, 10);
        disk.work();
        assert_eq!(disk.on_disk(), [1]);
        disk
    }

    fn store(&mut self, mode: Mode, len: usize) {
        let update = self.source.update(mode, &noise(len));
        self.hand_over(update, false);
    }

    fn hand_over(&mut self, update: Update, purge: bool) {
        self.queue.store(update, purge, self.now);
        self.append();
    }

    /// Does the work of the appending thread.
    fn append(&mut self) {
        while let Some((log, updates)) = self.queue.next_append(self.now) {
            self.carry_out(Job::Append(log, updates));
        }
    }

    /// Does the jobs that are due now.
    fn work(&mut self) {
        self.append();
        while let Next::Do(job) = self.queue.next(self.now) {
            self.carry_out(job);
            self.append();
        }
    }

    fn carry_out(&mut self, job: Job) {
        self.turns += 1;
        assert!(self.turns < 100_000, "it spins: {job:?}");
        let (now, refused) = (self.now, (self.refuses)(&job));
        let refusal = || {
            let source = std::io::ErrorKind::StorageFull.into();
            CacheError::Io { what: "write", path: PathBuf::new(), source }
        };
        let allowed = || if refused { Err(refusal()) } else { Ok(()) };
        let done = match job {
            Job::Append(mut log, updates) => {
                let appended = allowed().and_then(|()| log.append(&updates));
                self.queue.appended(appended, log, updates, now)
            }
            Job::Sync(_, end) => self.queue.synced(allowed(), end, now),
            Job::Rewrite(mut from) => {
                let written = allowed().and_then(|()| self.cache.rewrite(&mut from));
                self.queue.rewritten(written, from, now)
            }
            Job::Probe => {
                let probed = allowed().and_then(|()| self.cache.probe());
                self.queue.probed(probed, now)
            }
            Job::Check(footprint) => {
                let checked = allowed().and_then(|()| self.cache.check(footprint.as_ref()));
                self.queue.checked(checked, footprint.as_ref(), now)
            }
            Job::Audit => return self.queue.audited(self.cache.has_superseded_secrets(), now),
            Job::Tidy => return self.cache.remove_expired(),
        };
        self.errors += usize::from(done.is_err());
    }

    /// Advances the time, with all jobs that are due until then.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.work();
            let Next::Wait(wait) = self.queue.next(self.now) else { panic!("there is more to do") };
            if self.now + wait >= end {
                break;
            }
            assert!(!wait.is_zero(), "it spins");
            self.now += wait;
        }
        self.now = end;
        self.work();
    }

    /// Advances the time long enough after the last failure.
    fn later(&mut self) {
        self.now += Duration::from_secs(60);
        self.work();
    }

    /// A failing sync: afterwards a new file must be written.
    fn fail_sync(&mut self) {
        let Next::Do(Job::Sync(_, end)) = self.queue.next(self.now) else { panic!("nothing to sync") };
        let source = std::io::Error::other("made up");
        let failed = CacheError::Io { what: "sync", path: PathBuf::new(), source };
        assert!(self.queue.synced(Err(failed), end, self.now).is_err());
    }

    /// A folder at the path of the temporary file: a refusal that root meets, too.
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
    let Next::Do(Job::Sync(_, end)) = disk.queue.next(disk.now) else { panic!("not synced") };
    assert_eq!(end, disk.source.position());
    assert!(matches!(disk.queue.next(disk.now), Next::Wait(_)));
}

#[test]
fn a_failed_sync_is_followed_by_a_new_file_without_a_further_change() {
    let mut disk = Disk::new();
    disk.store(Mode::Delta, 10);
    disk.fail_sync();
    assert!(matches!(disk.queue.next(disk.now), Next::Wait(_)), "not at once");
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
    assert!(disk.errors > errors && !disk.queue.wants_snapshot(), "not while it would be dropped, too");
    assert_eq!(disk.on_disk(), [1]);
    disk.take_again();
    disk.later();
    assert!(disk.queue.wants_snapshot());
    assert!(matches!(disk.queue.next(disk.now), Next::Wait(_)), "asked once");
    disk.store(Mode::Delta, 10);
    disk.later();
    assert_eq!(disk.on_disk(), [1], "a delta does not lead there");
    disk.store(Mode::Snapshot, 10);
    disk.work();
    assert!(!disk.queue.wants_snapshot());
    assert_eq!(disk.on_disk(), [disk.source.position().revision]);
}

#[test]
fn one_delta_is_written_whatever_its_length_and_dropped_if_it_is_refused() {
    let mut disk = Disk::new();
    disk.store(Mode::Delta, 2 * usize::try_from(LIMIT).unwrap());
    assert_eq!(disk.on_disk(), [1, 2]);
    assert!(!disk.queue.wants_snapshot());
    disk.refuses = |job| matches!(job, Job::Append(..) | Job::Rewrite(..));
    disk.store(Mode::Delta, 2 * usize::try_from(LIMIT).unwrap());
    disk.work();
    disk.refuses = |_| false;
    disk.later();
    assert!(disk.queue.wants_snapshot());
}

/// Nothing is lost: the file is still open.
#[test]
fn deleted_folder_is_noticed_without_a_change_and_made_again() {
    let mut disk = Disk::new();
    disk.store(Mode::Delta, 10);
    disk.work();
    std::fs::remove_dir_all(disk.dir.path()).unwrap();
    disk.pass(Duration::from_secs(10));
    assert_eq!((disk.on_disk(), disk.errors), (vec![2], 1));
    assert!(!disk.queue.wants_snapshot());
    disk.store(Mode::Delta, 10);
    assert_eq!(disk.on_disk(), [2, 3]);
}

#[test]
fn deleted_file_is_noticed_by_the_next_append() {
    let mut disk = Disk::new();
    std::fs::remove_file(disk.dir.path().join("config.log")).unwrap();
    disk.store(Mode::Delta, 10);
    assert_eq!(disk.errors, 1);
    disk.work();
    assert_eq!(disk.on_disk(), [2]);
}

#[test]
fn file_that_was_cut_is_made_again_from_a_snapshot() {
    let mut disk = Disk::new();
    std::fs::write(disk.dir.path().join("config.log"), "").unwrap();
    disk.pass(Duration::from_secs(20));
    assert!(disk.queue.wants_snapshot());
    disk.store(Mode::Snapshot, 10);
    disk.work();
    assert_eq!(disk.on_disk(), [2]);
}

#[test]
fn append_that_fails_is_followed_at_once_by_a_new_file() {
    let mut disk = Disk::new();
    disk.refuses = |job| matches!(job, Job::Append(..));
    disk.store(Mode::Delta, 10);
    assert_eq!(disk.errors, 1);
    disk.work();
    assert_eq!(disk.on_disk(), [2], "merged");
    disk.refuses = |_| false;
    disk.store(Mode::Delta, 10);
    assert_eq!(disk.on_disk(), [2, 3]);
}

/// Deltas that have outgrown the snapshot are appended as long as there is no room to merge them. They are
/// merged when there is.
#[test]
fn new_file_that_fails_is_followed_by_appends_until_it_succeeds() {
    let mut disk = Disk::new();
    disk.refuses = |job| matches!(job, Job::Rewrite(_));
    disk.store(Mode::Delta, 2 << 20);
    for _ in 0..3 {
        disk.store(Mode::Delta, 10);
        disk.work();
    }
    assert_eq!(disk.on_disk(), [1, 2, 3, 4, 5]);
    disk.later();
    disk.store(Mode::Delta, 10);
    disk.work();
    assert_eq!(disk.on_disk().len(), 6, "tried again, and appended");
    disk.refuses = |_| false;
    disk.later();
    disk.store(Mode::Delta, 10);
    disk.work();
    assert_eq!(disk.on_disk(), [7]);
}

#[test]
fn superseded_secret_leaves_the_disk_without_a_further_change() {
    let mut disk = Disk::new();
    let key = wire::Key { kind: wire::Kind(199), id: uuid::Uuid::from_u128(1) };
    for (value, purge) in [(b"a", false), (b"b", true)] {
        let update = disk.source.put(Mode::Delta, key, Some(value));
        disk.hand_over(update, purge);
    }
    disk.work();
    assert_eq!(disk.on_disk(), [1, 2, 3]);
    disk.pass(Duration::from_secs(3));
    assert_eq!(disk.on_disk(), [3]);
    assert!(!disk.cache.has_superseded_secrets());
}

/// The process ended before it began the job.
#[test]
fn superseded_secret_leaves_the_disk_after_a_start() {
    let mut disk = Disk::new();
    let key = wire::Key { kind: wire::Kind(199), id: uuid::Uuid::from_u128(1) };
    for value in [b"a", b"b"] {
        let update = disk.source.put(Mode::Delta, key, Some(value));
        disk.hand_over(update, false);
    }
    disk.work();
    let found = disk.cache.read(Generation::Current).unwrap();
    let log = disk.cache.go_on(&found, disk.source.position()).unwrap();
    disk.queue = WriteQueue::default();
    disk.queue.begin(InitialState::Whole(log));
    disk.work();
    assert_eq!(disk.on_disk(), [3]);
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
    disk.queue.end();
    disk.work();
    assert_eq!(disk.on_disk(), [3]);
    assert!(matches!(disk.queue.next(disk.now), Next::End));
}

#[test]
fn the_thread_does_all_of_it_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer();
    writer.start(Cache::open(dir.path()).unwrap(), InitialState::Empty);
    let mut source = Source::default();
    for mode in [Mode::Snapshot, Mode::Delta, Mode::Snapshot, Mode::Delta, Mode::Delta] {
        writer.store(source.update(mode, b"{}"), false);
    }
    writer.finish();
    let found = Cache::open(dir.path()).unwrap().read(Generation::Current).unwrap();
    assert_eq!(found.updates.last().map(|last| last.header.position()), Some(source.position()));
    let errors = writer.shared.metrics.cache_errors.get();
    assert_eq!((writer.shared.status.view().disk_revision, errors), (Some(5), 0));
}

fn writer() -> Writer {
    let metrics = crate::metrics::Metrics::new(&prometheus::Registry::new()).unwrap();
    Writer::idle(metrics.sync, Arc::default())
}
