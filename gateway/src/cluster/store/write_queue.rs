//! Decides which jobs the copy on disk needs, and when. This module has no thread and no disk: `store.rs`
//! holds the lock, and its threads carry out the jobs without it.
//!
//! There are two ways to write the waiting updates: append them to the file, or write a new file. Each can
//! fail alone. An append that does not fit may fit once the file is merged. A new file needs space or an
//! inode that an append does not. So each has its own retry time, and the other is tried meanwhile.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wire::{Position, Update};

use super::InitialState;
use super::retry::Retry;
use super::waiting::Waiting;
use crate::cluster::cache::{CacheError, Footprint, Log, Rewrite, entries_len};

/// Interval of the checks whether the file is still there.
const CHECK: Duration = Duration::from_secs(5);
/// Delay from a change that replaces or deletes a secret to the file without it: more such changes may come.
const PURGE: Duration = Duration::from_secs(2);
/// Interval of the removal of expired files.
const TIDY: Duration = Duration::from_secs(3600);

/// The state of the copy.
#[derive(Debug)]
pub(super) struct WriteQueue {
    waiting: Waiting,
    /// The position of the last update ever handed over.
    live: Option<Position>,
    /// The file in use, unless a job holds it.
    log: Option<Log>,
    /// A thread is appending to the log.
    appending: bool,
    /// A new file must be written, even if no update waits.
    stale: bool,
    /// When a new file must be written because secrets were replaced or deleted.
    purge: Option<Instant>,
    /// Some bytes in `log` are not synced.
    unsynced: bool,
    append: Retry,
    rewrite: Retry,
    check: Retry,
    next_check: Instant,
    next_tidy: Instant,
    audited: bool,
    /// A snapshot was requested from the control plane.
    asked: bool,
    ending: bool,
    ended: bool,
}

/// Work for a thread to do without the lock.
#[derive(Debug)]
pub(super) enum Job {
    /// Append these, and return them with the log to [`WriteQueue::appended`].
    Append(Log, Vec<Update>),
    /// Sync this file, which ends at this position.
    Sync(Arc<File>, Position),
    /// Write a new file.
    Rewrite(Rewrite),
    /// Test whether the disk accepts writes.
    Probe,
    /// Check whether the file is still there.
    Check(Option<Footprint>),
    /// Check whether the files hold secrets that were replaced or deleted before this process began.
    Audit,
    /// Remove expired files.
    Tidy,
}

/// The next step of the thread.
#[derive(Debug)]
pub(super) enum Next {
    Do(Job),
    /// Wait until an update is stored, or for this time.
    Wait(Duration),
    End,
}

/// A completed job.
#[derive(Debug)]
pub(super) struct Done {
    /// The synced position on disk.
    pub on_disk: Option<Position>,
    /// Whether no failed operation waits for a retry.
    pub healthy: bool,
}

impl Default for WriteQueue {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            waiting: Waiting::default(),
            live: None,
            log: None,
            appending: false,
            stale: false,
            purge: None,
            unsynced: false,
            append: Retry::default(),
            rewrite: Retry::default(),
            check: Retry::default(),
            next_check: now + CHECK,
            next_tidy: now,
            audited: false,
            asked: false,
            ending: false,
            ended: false,
        }
    }
}

impl WriteQueue {
    pub(super) fn begin(&mut self, begin: InitialState) {
        match begin {
            InitialState::Empty => {}
            InitialState::Whole(log) => {
                self.live = Some(log.end());
                self.log = Some(log);
            }
            InitialState::Stale(end) => {
                self.live = Some(end);
                self.stale = true;
            }
        }
        // The file was found on disk, but whether it was ever synced is not known.
        self.unsynced = self.log.is_some();
    }

    /// Takes an applied update; `purge` when it replaces or deletes a secret.
    pub(super) fn store(&mut self, update: Update, purge: bool, now: Instant) {
        self.live = Some(update.header.position());
        self.waiting.push(update);
        if purge {
            self.purge.get_or_insert(now + PURGE);
        }
        if self.waiting.begins_anew() {
            self.asked = false;
        }
    }

    /// Whether the waiting updates are being appended, or will be at once.
    pub(super) fn is_appending(&self, now: Instant) -> bool {
        self.appending || (self.may_append() && self.append.is_due(now) && self.is_append_first(now))
    }

    pub(super) fn end(&mut self) {
        self.ending = true;
        // One more try, at once.
        (self.append, self.rewrite, self.check) = Default::default();
    }

    /// Undoes [`WriteQueue::end`]; `false` when it is too late.
    pub(super) const fn resume(&mut self) -> bool {
        self.ending = self.ended;
        !self.ended
    }

    pub(super) const fn is_ending(&self) -> bool {
        self.ending
    }

    pub(super) const fn wants_snapshot(&self) -> bool {
        self.asked
    }

    /// The next step of the thread that does everything but appending.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.ending
            && let Some((log, updates)) = self.next_append(now)
        {
            return Next::Do(Job::Append(log, updates));
        }
        match self.job(now) {
            Some(job) => Next::Do(job),
            None if self.ending && !self.appending => {
                self.ended = true;
                Next::End
            }
            None => Next::Wait(self.wake_at(now).saturating_duration_since(now)),
        }
    }

    /// The next job of the appending thread.
    pub(super) fn next_append(&mut self, now: Instant) -> Option<(Log, Vec<Update>)> {
        if self.appending || !self.is_appending(now) {
            return None;
        }
        let log = self.log.take()?;
        self.appending = true;
        Some((log, self.waiting.take()))
    }

    /// When a failed append is tried again.
    pub(super) fn append_again(&self, now: Instant) -> Option<Duration> {
        self.append.waits_until(now).map(|again| again - now)
    }

    pub(super) fn appended(
        &mut self,
        result: Result<(), CacheError>,
        log: Log,
        updates: Vec<Update>,
        now: Instant,
    ) -> Result<Done, CacheError> {
        self.appending = false;
        let mut log = log;
        if self.stale {
            // A sync has failed meanwhile.
            log.condemn();
        }
        match &result {
            Ok(()) => {
                self.unsynced = true;
                self.append.clear();
            }
            Err(error) => {
                self.waiting.put_back(updates);
                self.append.fail(now);
                self.stale |= matches!(error, CacheError::Changed { .. });
            }
        }
        if result.is_ok() && log.is_compact() && self.purge.is_none() && !self.stale {
            // A new file is not needed any more.
            self.rewrite.clear();
        }
        self.log = Some(log);
        self.settle(result.map(|()| None))
    }

    pub(super) fn synced(
        &mut self,
        result: Result<(), CacheError>,
        end: Position,
        now: Instant,
    ) -> Result<Done, CacheError> {
        if result.is_err() {
            // After a failed sync, the contents of the disk are unknown. The next sync would succeed without
            // the lost pages, because the system has marked them as clean. Only a new file can be trusted.
            if let Some(log) = &mut self.log {
                log.condemn();
            }
            self.stale = true;
            self.rewrite.fail(now);
        }
        self.settle(result.map(|()| Some(end)))
    }

    pub(super) fn rewritten(
        &mut self,
        result: Result<Log, CacheError>,
        from: Rewrite,
        now: Instant,
    ) -> Result<Done, CacheError> {
        let result = match result {
            Ok(log) => {
                let end = log.end();
                self.log = Some(log);
                (self.append, self.rewrite) = Default::default();
                Ok(Some(end))
            }
            Err(error) => {
                self.rewrite.fail(now);
                self.purge = from.purge.then_some(now);
                match error {
                    CacheError::Lost { .. } => self.waiting.cut(),
                    _ => self.take_back(from),
                }
                Err(error)
            }
        };
        self.settle(result)
    }

    pub(super) fn probed(
        &mut self,
        result: Result<(), CacheError>,
        now: Instant,
    ) -> Result<Done, CacheError> {
        self.asked = result.is_ok() && self.waiting.is_cut();
        match result {
            Ok(()) => self.rewrite.clear(),
            Err(_) => self.rewrite.fail(now),
        }
        self.settle(result.map(|()| None))
    }

    pub(super) fn checked(
        &mut self,
        result: Result<(), CacheError>,
        footprint: Option<&Footprint>,
        now: Instant,
    ) -> Result<Done, CacheError> {
        match &result {
            Ok(()) => self.check.clear(),
            Err(CacheError::Changed { .. }) => {
                // Unless a new file was written meanwhile.
                if let Some(log) = self.log.as_mut().filter(|log| footprint.is_some_and(|seen| log.is(seen)))
                {
                    log.condemn();
                    self.stale = true;
                }
            }
            Err(_) => self.check.fail(now),
        }
        self.settle(result.map(|()| None))
    }

    pub(super) fn audited(&mut self, has_superseded_secrets: bool, now: Instant) {
        if has_superseded_secrets {
            self.purge.get_or_insert(now);
        }
    }

    /// Takes the sources of a failed rewrite back.
    fn take_back(&mut self, from: Rewrite) {
        self.waiting.put_back(from.updates);
        self.log = from.log;
        let is_whole = self.log.as_ref().is_some_and(Log::is_whole);
        // Whether the entries appended to it before were synced is not known.
        (self.stale, self.unsynced) = (!is_whole, is_whole);
    }

    fn settle(&self, result: Result<Option<Position>, CacheError>) -> Result<Done, CacheError> {
        let failed = [self.append, self.rewrite, self.check].into_iter().any(Retry::has_failed);
        let healthy = !failed && !self.stale && !self.unsynced && !self.waiting.is_cut();
        result.map(|on_disk| Done { on_disk, healthy })
    }

    fn job(&mut self, now: Instant) -> Option<Job> {
        if self.appending {
            return None;
        }
        if self.waiting.is_cut() {
            if !self.asked && self.rewrite.is_due(now) {
                return Some(Job::Probe);
            }
        } else if self.wants_rewrite(now) && self.rewrite.is_due(now) {
            return self.take_rewrite().map(Job::Rewrite);
        }
        if let Some(log) = self.log.as_ref().filter(|log| self.unsynced && log.is_whole()) {
            self.unsynced = false;
            return Some(Job::Sync(log.file(), log.end()));
        }
        (!self.ending).then(|| self.chore(now)).flatten()
    }

    /// The job for when no other job is due.
    fn chore(&mut self, now: Instant) -> Option<Job> {
        if !self.audited && self.live.is_some() {
            self.audited = true;
            return Some(Job::Audit);
        }
        if self.next_tidy <= now {
            self.next_tidy = now + TIDY;
            return Some(Job::Tidy);
        }
        if self.next_check <= now && self.live.is_some() && self.check.is_due(now) {
            self.next_check = now + CHECK;
            return Some(Job::Check(self.log.as_ref().filter(|log| log.is_whole()).map(Log::footprint)));
        }
        None
    }

    /// Whether there is work that an append does not do.
    fn wants_rewrite(&self, now: Instant) -> bool {
        let waits = !(self.waiting.is_empty() || self.may_append() && self.is_append_first(now));
        let purge = self.purge.is_some_and(|at| self.ending || at <= now);
        // A failed append is no reason to wait for its retry time.
        self.stale || waits || purge || (!self.waiting.is_empty() && !self.append.is_due(now))
    }

    fn take_rewrite(&mut self) -> Option<Rewrite> {
        let end = self.live?;
        (self.stale, self.unsynced) = (false, false);
        let purge = self.purge.take().is_some();
        Some(Rewrite { log: self.log.take(), updates: self.waiting.take(), end, purge })
    }

    /// Whether the waiting updates follow the end of the file, and a start could read the grown file.
    fn may_append(&self) -> bool {
        let waiting = self.waiting.updates();
        !waiting.is_empty()
            && self.log.as_ref().is_some_and(|log| {
                log.is_whole() && log.leads_to(waiting) && log.has_room_for(entries_len(waiting) as u64)
            })
    }

    /// Whether appending comes before a new file: not once the deltas have outgrown the snapshot, unless the
    /// disk has just refused the new file.
    fn is_append_first(&self, now: Instant) -> bool {
        !self.rewrite.is_due(now) || self.log.as_ref().is_some_and(Log::is_compact)
    }

    /// When a job may become due without a new update.
    fn wake_at(&self, now: Instant) -> Instant {
        if self.appending {
            // The end of that job wakes the thread earlier.
            return now + CHECK;
        }
        let retries = [self.append, self.rewrite].into_iter().filter_map(|retry| retry.waits_until(now));
        let check = self.check.waits_until(now).unwrap_or(self.next_check).max(self.next_check);
        let check = self.live.map(|_| check);
        let purge = self.purge.filter(|at| now < *at);
        retries.chain(check).chain(purge).fold(self.next_tidy, Instant::min)
    }
}
