//! Keeps the copy on disk up to date behind the live table.
//!
//! A delta is written (not synced) before it is acknowledged, where the file takes it: a few microseconds,
//! after which it outlives the process. Everything that may take long is done on a thread of its own, so
//! that a slow disk delays no ack: the sync, which a cut of power asks for, snapshots, merging, and
//! whatever the disk refused, which is tried again until the disk takes it.
//!
//! # What waits
//!
//! At most one snapshot and [`waiting::LIMIT`] bytes of deltas. Past that they are dropped, and when the
//! disk is well again the control plane is asked for a snapshot, by a new connection that says nothing is
//! held. What is live does not depend on any of this.

mod desk;
mod waiting;

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{error, info};
use wire::{Position, Update};

use self::desk::{Desk, Job};
use super::cache::{Cache, CacheError, Generation, Log};
use super::status::Status;

/// Hands updates to the disk.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the agent and the thread share.
#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    wake: Condvar,
    snapshot_wanted: Notify,
    errors: IntCounter,
    status: Arc<Status>,
}

/// What is on disk when the writer begins.
#[derive(Debug)]
pub(super) enum Begin {
    /// Nothing.
    Empty,
    /// All that is live, in a file that can be appended to.
    Whole(Log),
    /// All that is live, up to this position, but it must be written anew.
    Stale(Position),
}

impl Writer {
    /// A writer without its thread.
    pub(super) fn idle(errors: IntCounter, status: Arc<Status>) -> Self {
        let shared = Shared {
            desk: Mutex::default(),
            wake: Condvar::new(),
            snapshot_wanted: Notify::new(),
            errors,
            status,
        };
        Self { shared: Arc::new(shared), thread: None }
    }

    /// Starts the thread.
    pub(super) fn start(&mut self, cache: Cache, begin: Begin) {
        self.shared.desk.lock().begin(begin);
        let shared = Arc::clone(&self.shared);
        let spawned =
            std::thread::Builder::new().name("config-cache".into()).spawn(move || shared.work(cache));
        match spawned {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                self.shared.errors.inc();
                error!(%error, "cannot start the thread that keeps the copy on disk; there will be none");
            }
        }
    }

    /// Writes an update that is live, now or later.
    pub(super) fn store(&self, update: Update) {
        if self.thread.is_some() {
            let written = self.shared.desk.lock().store(update);
            if let Err(error) = written {
                self.shared.failed(&error);
            }
            self.shared.wake.notify_one();
        }
    }

    /// Whether the disk needs a snapshot from a control plane.
    pub(super) fn wants_snapshot(&self) -> bool {
        self.shared.desk.lock().wants_snapshot()
    }

    /// Until the disk, well again, needs a snapshot that no control plane was asked for yet.
    pub(super) async fn snapshot_wanted(&self) {
        self.shared.snapshot_wanted.notified().await;
    }

    /// Waits until all that was handed over is synced, or was refused by the disk.
    pub(super) fn finish(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.shared.desk.lock().end();
            self.shared.wake.notify_one();
            if thread.join().is_err() {
                error!("the thread that keeps the copy on disk panicked");
            }
        }
    }
}

impl Shared {
    fn work(&self, mut cache: Cache) {
        while let Some(job) = self.next() {
            match job {
                Job::Append => {
                    self.settle(self.desk.lock().append());
                }
                Job::Sync(file, end) => {
                    let synced = file.sync_data().map_err(|source| CacheError::Io {
                        what: "sync",
                        path: cache.path_of(Generation::Current),
                        source,
                    });
                    self.settle(self.desk.lock().synced(synced, end));
                }
                Job::Rewrite(updates, end) => {
                    let written = cache.rewrite(&updates, end);
                    self.settle(self.desk.lock().rewritten(written, updates));
                }
                Job::Probe => {
                    let probed = cache.probe();
                    if self.settle(self.desk.lock().probed(probed)) {
                        info!("the disk takes writes again; asking for a snapshot");
                        self.snapshot_wanted.notify_one();
                    }
                }
            }
        }
    }

    /// Waits for something to do; `None` at the end.
    fn next(&self) -> Option<Job> {
        let mut desk = self.desk.lock();
        loop {
            match desk.next(Instant::now()) {
                desk::Next::Do(job) => return Some(job),
                desk::Next::End => return None,
                desk::Next::Wait(None) => self.wake.wait(&mut desk),
                desk::Next::Wait(Some(time)) => {
                    self.wake.wait_for(&mut desk, time);
                }
            }
        }
    }

    /// Tells what became of a job; whether it was done.
    fn settle(&self, result: Result<desk::Done, CacheError>) -> bool {
        match result {
            Ok(done) => {
                if let Some(end) = done.on_disk {
                    self.status.edit(|view| {
                        view.disk_revision = Some(end.revision);
                        view.disk_error = None;
                    });
                }
                if done.after_failures {
                    info!(revision = done.on_disk.map(|end| end.revision), "the disk takes the copy again");
                }
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    fn failed(&self, error: &CacheError) {
        self.errors.inc();
        self.status.edit(|view| view.disk_error = Some(error.to_string()));
        error!(%error, "what is live stays so, but its copy on disk is an older one");
    }
}

#[cfg(test)]
mod tests;
