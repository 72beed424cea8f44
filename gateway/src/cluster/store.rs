//! The thread that writes the copy on disk: a slow disk delays no ack and no further update.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use prometheus::IntCounter;
use tracing::{error, info};
use wire::Update;

use super::cache::Cache;

/// Hands updates to the thread that writes them.
#[derive(Debug)]
pub(super) struct Writer {
    errors: IntCounter,
    thread: Option<(Sender<Update>, JoinHandle<()>)>,
}

impl Writer {
    /// A writer whose thread has not been started.
    pub(super) const fn idle(errors: IntCounter) -> Self {
        Self { errors, thread: None }
    }

    /// Starts the thread.
    pub(super) fn start(&mut self, mut cache: Cache) {
        let (sender, receiver) = channel::<Update>();
        let errors = self.errors.clone();
        let mut failing = false;
        let spawned = std::thread::Builder::new().name("config-cache".into()).spawn(move || {
            for update in receiver {
                let revision = update.header.to;
                match cache.store(update) {
                    Ok(()) if failing => info!(revision, "the copy on disk is up to date again"),
                    Ok(()) => {}
                    Err(error) => {
                        errors.inc();
                        error!(revision, %error, "the configuration is live, but its copy on disk is an older one");
                        failing = true;
                        continue;
                    }
                }
                failing = false;
            }
        });
        match spawned {
            Ok(thread) => self.thread = Some((sender, thread)),
            Err(error) => {
                self.errors.inc();
                error!(%error, "cannot start the thread that keeps the copy on disk; there will be none");
            }
        }
    }

    /// Has an update written, later.
    pub(super) fn store(&self, update: Update) {
        if let Some((sender, _)) = &self.thread
            && sender.send(update).is_err()
        {
            self.errors.inc();
            error!("the thread that keeps the copy on disk has ended");
        }
    }

    /// Waits until all that was handed over is written, or was refused by the disk.
    pub(super) fn finish(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            if thread.join().is_err() {
                error!("the thread that keeps the copy on disk panicked");
            }
        }
    }
}
