//! Keeps the copy on disk up to date behind the live table.
//!
//! A delta is written (not synced) before it is acknowledged, if the file accepts it. That takes some tens of
//! microseconds, and the bytes outlive the process. Two threads write, so that no disk delays an ack for
//! long. `config-append` appends. `config-cache` does the slow work: the sync against power cuts, snapshots,
//! merging, and retries of all that the disk refused.
//!
//! # A disk that hangs
//!
//! An ack waits for its append for [`ACK_WAITS`] at most. While an append has not returned, later acks do not
//! wait at all. Their changes are live, and wait in memory to be written.
//!
//! # Memory
//!
//! At most one snapshot and [`waiting::LIMIT`] bytes of deltas wait to be written. Beyond that they are dropped.
//! One delta may be longer, unless the disk refuses it. Once the disk works again, the agent reconnects, says that it holds nothing, and receives a
//! snapshot. The live configuration does not depend on any of this.

mod retry;
mod waiting;
mod write_queue;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
use wire::{Position, Update};

use self::write_queue::{Done, Job, Next, WriteQueue};
use super::cache::{Cache, CacheError, Generation, Log};
use super::status::Status;
use crate::metrics::SyncMetrics;

/// How long an ack waits for the disk.
const ACK_WAITS: Duration = Duration::from_secs(1);
/// Timeout of the disk at the end of the program; less than the program allows its sync agent.
const END_WAITS: Duration = Duration::from_secs(4);

/// Hands updates to the disk.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<WriterState>,
    threads: Vec<JoinHandle<()>>,
}

/// State shared by the agent and the threads.
#[derive(Debug)]
struct WriterState {
    queue: Mutex<WriteQueue>,
    /// The queue has changed.
    wake: Condvar,
    health: Mutex<Health>,
    snapshot_wanted: Notify,
    metrics: SyncMetrics,
    status: Arc<Status>,
}

/// The disk state that was logged last, so that each state is logged once.
#[derive(Debug, Default)]
struct Health {
    failing: Option<String>,
    stalled: bool,
}

/// The contents of the disk when the writer begins.
#[derive(Debug)]
pub(super) enum InitialState {
    /// Nothing.
    Empty,
    /// The whole live configuration, in a file that can be appended to.
    Whole(Log),
    /// The live configuration up to this position, but a new file must be written.
    Stale(Position),
}

impl Writer {
    /// Creates a writer without its threads.
    pub(super) fn idle(metrics: SyncMetrics, status: Arc<Status>) -> Self {
        let shared = WriterState {
            queue: Mutex::default(),
            wake: Condvar::new(),
            health: Mutex::default(),
            snapshot_wanted: Notify::new(),
            metrics,
            status,
        };
        Self { shared: Arc::new(shared), threads: Vec::new() }
    }

    /// Starts the threads.
    pub(super) fn start(&mut self, cache: Cache, begin: InitialState) {
        self.shared.queue.lock().begin(begin);
        let shared = Arc::clone(&self.shared);
        self.spawn("config-cache", move || shared.work(cache));
        self.spawn_appending();
    }

    /// Writes an applied update, now or later; `purge` when it replaces or deletes a secret.
    pub(super) fn store(&self, update: Update, purge: bool) {
        if !self.threads.is_empty() {
            self.shared.store(update, purge);
        }
    }

    /// Whether the disk needs a snapshot from a control plane.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.shared.queue.lock().wants_snapshot()
    }

    /// Waits until the disk works again and needs a snapshot that was not requested yet.
    pub(super) async fn snapshot_wanted(&self) {
        self.shared.snapshot_wanted.notified().await;
    }

    /// Waits until everything handed over is synced or refused by the disk, and the folder is free. After
    /// [`END_WAITS`] it stops waiting: the threads then end when the disk lets them.
    pub(super) fn finish(&mut self) {
        self.shared.queue.lock().end();
        self.shared.wake.notify_all();
        let deadline = Instant::now() + END_WAITS;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        if self.has_ended() {
            self.join();
        } else {
            warn!("the disk has not taken the copy of the configuration within {END_WAITS:?}");
        }
    }

    /// Whether no thread of the writer uses the folder.
    pub(super) fn has_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Resumes after [`Writer::finish`] with the threads that the disk still holds; `false` when they have
    /// ended.
    pub(super) fn resume(&mut self) -> bool {
        if self.has_ended() || !self.shared.queue.lock().resume() {
            return false;
        }
        self.spawn_appending();
        true
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                error!("a thread that keeps the copy on disk panicked");
            }
        }
    }

    fn spawn_appending(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.spawn("config-append", move || shared.append());
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) {
        match thread::Builder::new().name(name.to_owned()).spawn(run) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => self.shared.failed(&CacheError::Io {
                what: "start a thread for",
                path: "the copy on disk".into(),
                source: error,
            }),
        }
    }
}

impl WriterState {
    fn store(&self, update: Update, purge: bool) {
        let mut queue = self.queue.lock();
        queue.store(update, purge, Instant::now());
        self.wake.notify_all();
        if self.health.lock().stalled {
            return;
        }
        let appending = |queue: &mut WriteQueue| queue.is_appending(Instant::now());
        if self.wake.wait_while_for(&mut queue, appending, ACK_WAITS).timed_out() {
            drop(queue);
            self.stalled(true);
        }
    }

    /// The thread that appends.
    fn append(&self) {
        while let Some((mut log, updates)) = self.next_append() {
            let result = self.busy("append to", || log.append(&updates));
            self.settle(|queue, now| queue.appended(result, log, updates, now));
            self.stalled(false);
        }
    }

    /// The thread that does everything else.
    fn work(&self, mut cache: Cache) {
        while let Some(job) = self.next() {
            self.wake.notify_all();
            self.carry_out(job, &mut cache);
            self.wake.notify_all();
        }
    }

    fn carry_out(&self, job: Job, cache: &mut Cache) {
        match job {
            Job::Append(mut log, updates) => {
                let result = self.busy("append to", || log.append(&updates));
                self.settle(|queue, now| queue.appended(result, log, updates, now));
            }
            Job::Sync(file, end) => {
                let path = cache.path_of(Generation::Current);
                let synced = self.busy("sync", || file.sync_data());
                let synced = synced.map_err(|source| CacheError::Io { what: "sync", path, source });
                self.settle(|queue, now| queue.synced(synced, end, now));
            }
            Job::Rewrite(mut from) => {
                let written = self.busy("write", || cache.rewrite(&mut from));
                if from.purge && written.is_ok() {
                    self.metrics.cache_purges.inc();
                }
                self.settle(|queue, now| queue.rewritten(written, from, now));
            }
            Job::Probe => {
                let probed = self.busy("write to", || cache.probe());
                if self.settle(|queue, now| queue.probed(probed, now)) {
                    info!("the disk takes writes again; asking for a snapshot");
                    self.snapshot_wanted.notify_one();
                }
            }
            Job::Check(footprint) => {
                let checked = self.busy("look at", || cache.check(footprint.as_ref()));
                self.settle(|queue, now| queue.checked(checked, footprint.as_ref(), now));
            }
            Job::Audit => {
                let found = self.busy("read", || cache.has_superseded_secrets());
                self.queue.lock().audited(found, Instant::now());
            }
            Job::Tidy => self.busy("tidy", || cache.remove_expired()),
        }
    }

    /// Waits for a job; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            match queue.next(Instant::now()) {
                Next::Do(job) => return Some(job),
                Next::End => return None,
                Next::Wait(time) => drop(self.wake.wait_for(&mut queue, time)),
            }
        }
    }

    fn next_append(&self) -> Option<(Log, Vec<Update>)> {
        let mut queue = self.queue.lock();
        while !queue.is_ending() {
            let now = Instant::now();
            if let Some(job) = queue.next_append(now) {
                return Some(job);
            }
            match queue.append_again(now) {
                Some(time) => drop(self.wake.wait_for(&mut queue, time)),
                None => self.wake.wait(&mut queue),
            }
        }
        None
    }

    /// Runs an operation, and shows in the status that it has not returned yet.
    fn busy<T>(&self, what: &'static str, operation: impl FnOnce() -> T) -> T {
        let token = self.status.disk_begins(what);
        let result = operation();
        self.status.disk_ends(token);
        result
    }

    /// Tells the queue, the status and the log what became of a job; whether it was done.
    fn settle(&self, settle: impl FnOnce(&mut WriteQueue, Instant) -> Result<Done, CacheError>) -> bool {
        let settled = settle(&mut self.queue.lock(), Instant::now());
        self.wake.notify_all();
        match settled {
            Ok(done) => {
                self.done(&done);
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn done(&self, done: &Done) {
        self.status.edit(|view| {
            if let Some(end) = done.on_disk {
                view.disk_revision = Some(end.revision);
            }
            if done.healthy {
                view.disk_error = None;
            }
        });
        if done.healthy && self.health.lock().failing.take().is_some() {
            self.metrics.cache_failing.set(0);
            info!(revision = done.on_disk.map(|end| end.revision), "the copy on disk is good again");
        }
    }

    /// Logs an error once, until the disk works again or fails in another way.
    fn failed(&self, error: &CacheError) {
        let text = error.to_string();
        self.metrics.cache_errors.inc();
        self.metrics.cache_failing.set(1);
        self.status.edit(|view| view.disk_error = Some(text.clone()));
        if matches!(error, CacheError::Changed { .. }) {
            self.metrics.cache_changes.inc();
        }
        let mut health = self.health.lock();
        if health.failing.as_ref() == Some(&text) {
            debug!(%error, "the copy on disk still fails");
        } else {
            error!(%error, "what is live stays so, but its copy on disk is an older one");
            health.failing = Some(text);
        }
    }

    /// Notes whether an append is late.
    fn stalled(&self, stalled: bool) {
        if std::mem::replace(&mut self.health.lock().stalled, stalled) == stalled {
            return;
        }
        self.metrics.cache_stalled.set(stalled.into());
        if stalled {
            warn!(
                "the disk has not answered within {ACK_WAITS:?}: changes are acknowledged before they are on it"
            );
        } else {
            info!("the disk answers again");
        }
    }
}

#[cfg(test)]
mod tests;
