//! What is to be done for the copy on disk, and when. No thread in here: `store.rs` holds the lock and
//! carries the jobs out.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wire::{Position, Update};

use super::Begin;
use super::waiting::Waiting;
use crate::cluster::cache::{CacheError, Log};

/// After a failure; doubled after each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// The state of the copy.
#[derive(Debug, Default)]
pub(super) struct Desk {
    waiting: Waiting,
    /// Where all leads to that was ever handed over.
    live: Option<Position>,
    /// The file, when deltas can be appended to it.
    log: Option<Log>,
    /// The file must be written anew.
    stale: bool,
    /// Something in `log` is not synced.
    unsynced: bool,
    retry: Option<Retry>,
    /// The control plane was asked for a snapshot.
    asked: bool,
    ending: bool,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    at: Instant,
    delay: Duration,
}

/// What the thread does without the lock.
#[derive(Debug)]
pub(super) enum Job {
    /// Call [`Desk::append`] again.
    Append,
    /// Sync this file, which ends there.
    Sync(Arc<File>, Position),
    /// Write a new file of what is on disk and these, which ends there.
    Rewrite(Vec<Update>, Position),
    /// See whether the disk takes anything.
    Probe,
}

/// What the thread does next.
#[derive(Debug)]
pub(super) enum Next {
    Do(Job),
    /// Look again when something was stored, or after so long.
    Wait(Option<Duration>),
    End,
}

/// A job that was done.
#[derive(Debug)]
pub(super) struct Done {
    /// What is on disk now, synced.
    pub on_disk: Option<Position>,
    /// Whether the ones before it had failed.
    pub after_failures: bool,
}

impl Desk {
    pub(super) fn begin(&mut self, begin: Begin) {
        match begin {
            Begin::Empty => {}
            Begin::Whole(log) => {
                self.live = Some(log.end());
                self.log = Some(log);
            }
            Begin::Stale(end) => {
                self.live = Some(end);
                self.stale = true;
            }
        }
        // Found on disk, but whether it was ever synced is not known.
        self.unsynced = self.log.is_some();
    }

    /// Takes an update that is live, and writes it if that costs no more than a write.
    ///
    /// # Errors
    /// When the disk refuses; it is tried again later.
    pub(super) fn store(&mut self, update: Update) -> Result<(), CacheError> {
        self.live = Some(update.header.position());
        self.waiting.push(update);
        if self.waiting.begins_anew() {
            self.asked = false;
        }
        if self.retry.is_none() && self.may_append() { self.append().map(drop) } else { Ok(()) }
    }

    /// Appends what waits to the file.
    ///
    /// # Errors
    /// When the disk refuses; it is tried again later.
    pub(super) fn append(&mut self) -> Result<Done, CacheError> {
        let written = match &mut self.log {
            Some(log) => log.append(self.waiting.updates()).map(|()| true),
            None => Ok(false),
        };
        if matches!(written, Ok(true)) {
            self.waiting.take();
            self.unsynced = true;
        }
        self.settle(written.map(|_| None))
    }

    pub(super) fn end(&mut self) {
        self.ending = true;
        // One more try, at once.
        self.retry = None;
    }

    pub(super) const fn wants_snapshot(&self) -> bool {
        self.asked
    }

    pub(super) fn next(&mut self, now: Instant) -> Next {
        if let Some(retry) = self.retry
            && (self.ending || now < retry.at)
        {
            return if self.ending { Next::End } else { Next::Wait(Some(retry.at - now)) };
        }
        match self.job() {
            Some(job) => Next::Do(job),
            None if self.ending => Next::End,
            None => Next::Wait(None),
        }
    }

    pub(super) fn synced(
        &mut self,
        result: Result<(), CacheError>,
        end: Position,
    ) -> Result<Done, CacheError> {
        if result.is_err() {
            // What a failed sync has left on disk is not known, and the next one would succeed without
            // it: the system has marked its pages as clean. Only a new file is to be trusted.
            self.log = None;
            self.stale = true;
        }
        self.settle(result.map(|()| Some(end)))
    }

    pub(super) fn rewritten(
        &mut self,
        result: Result<Log, CacheError>,
        updates: Vec<Update>,
    ) -> Result<Done, CacheError> {
        let result = result.map(|log| {
            let end = log.end();
            self.log = Some(log);
            Some(end)
        });
        match &result {
            Ok(_) => {}
            Err(CacheError::Lost { .. }) => self.waiting.cut(),
            Err(_) => {
                self.stale = true;
                self.waiting.put_back(updates);
            }
        }
        self.settle(result)
    }

    pub(super) fn probed(&mut self, result: Result<(), CacheError>) -> Result<Done, CacheError> {
        self.asked = result.is_ok() && self.waiting.is_cut();
        self.settle(result.map(|()| None))
    }

    fn settle(&mut self, result: Result<Option<Position>, CacheError>) -> Result<Done, CacheError> {
        match result {
            Ok(on_disk) => Ok(Done { on_disk, after_failures: self.retry.take().is_some() }),
            Err(error) => {
                let delay = self.retry.map_or(FIRST_RETRY, |retry| (retry.delay * 2).min(LONGEST_RETRY));
                self.retry = Some(Retry { at: Instant::now() + delay, delay });
                Err(error)
            }
        }
    }

    fn job(&mut self) -> Option<Job> {
        if self.waiting.is_cut() {
            return (!self.asked).then_some(Job::Probe);
        }
        if self.may_append() {
            return Some(Job::Append);
        }
        if let Some(live) = self.live.filter(|_| self.stale || !self.waiting.is_empty()) {
            (self.log, self.stale, self.unsynced) = (None, false, false);
            return Some(Job::Rewrite(self.waiting.take(), live));
        }
        let log = self.log.as_ref().filter(|_| self.unsynced)?;
        self.unsynced = false;
        Some(Job::Sync(log.file(), log.end()))
    }

    fn may_append(&self) -> bool {
        let waiting = self.waiting.updates();
        !waiting.is_empty() && self.log.as_ref().is_some_and(|log| log.takes_more() && log.leads_to(waiting))
    }
}
