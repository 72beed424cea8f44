//! Follows the database: publishes commits, holds back what the guard says, and keeps the log short.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;
use uuid::Uuid;
use wire::Position;

use super::last_head::LastHead;
use super::pace::Pace;
use super::recent::Revision;
use super::waiting::Waiting;
use super::{POLL, PublisherState};
use crate::off_workers::{drop_off_workers, off_workers};
use crate::store::{Commit, Head, MANY};

/// Interval for trimming the log.
const TRIM: Duration = Duration::from_secs(3600);
/// Revisions that the log keeps: a data plane that is further behind gets a snapshot.
const LOG: u64 = 100_000;
/// The minimum time between two writes of the file with the last published head.
const NOTED: Duration = Duration::from_secs(1);

impl PublisherState {
    /// Publishes commits until its future is dropped.
    pub(super) async fn publish(&self) {
        let (mut commits, mut notified) = (self.store.commits(), self.store.notified());
        let mut asked = self.asked.subscribe();
        asked.mark_changed();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut waiting, mut pace, mut turn) = (Waiting::default(), Pace::new(Instant::now()), 0);
        loop {
            tokio::select! {
                commit = commits.recv() => match commit {
                    Ok(commit) => waiting.commit(commit),
                    Err(RecvError::Lagged(_)) => waiting.missed(),
                    Err(RecvError::Closed) => return,
                },
                // The senders live as long as the store and this do.
                Ok(()) = notified.changed() => self.hear(*notified.borrow_and_update(), &mut waiting),
                Ok(()) = asked.changed() => {
                    turn = *asked.borrow_and_update();
                    take_all(&mut commits, &mut waiting);
                }
                _ = poll.tick() => {
                    self.tidy();
                    // It would read from the log what is about to arrive.
                    if !self.store.is_committing() {
                        waiting.look();
                    }
                }
                () = tokio::time::sleep_until(self.due(&waiting, &pace)), if !waiting.is_empty() => {}
            }
            if !waiting.is_empty() && Instant::now() >= self.due(&waiting, &pace) {
                let before = *self.head.borrow();
                self.advance(&mut waiting).await;
                if *self.head.borrow() != before {
                    pace.pushed(Instant::now(), self.data_planes());
                }
            }
            if !waiting.has_commits() {
                self.answered.send_if_modified(|answered| std::mem::replace(answered, turn) != turn);
            }
        }
    }

    /// Frees memory that is not needed any more.
    pub(super) fn tidy(&self) {
        let mut state = self.state.lock();
        state.evict();
        self.encoder.tidy(state.position());
    }

    /// Handles a notification of another control plane's commit.
    fn hear(&self, revision: u64, waiting: &mut Waiting) {
        if revision == 0 || revision > self.head.borrow().revision {
            waiting.look();
        }
    }

    /// Returns when to publish the waiting commits. Commits of this process do not wait for a database that
    /// has failed.
    fn due(&self, waiting: &Waiting, pace: &Pace) -> Instant {
        let due = pace.due(self.data_planes());
        match waiting.may_lead_on(self.head.borrow().revision) {
            true => due,
            false => due.max(*self.retry_after.lock()),
        }
    }

    /// Returns the number of receivers of the head: the sessions, and a few others.
    fn data_planes(&self) -> usize {
        self.head.receiver_count()
    }

    /// Publishes the waiting commits. Those of this process come first, so that a failing database does not
    /// delay them.
    async fn advance(&self, waiting: &mut Waiting) {
        let timer = self.metrics.publish_duration.start_timer();
        let before = *self.head.borrow();
        let next = {
            let state = self.state.lock();
            waiting.forget_known(&state);
            waiting.lead_on(state.head()).map(|(to, revisions)| (state.head(), to, revisions))
        };
        if let Some((from, to, revisions)) = next
            && !self.follow(from, to, revisions).await
        {
            waiting.look();
        }
        self.push();
        if waiting.needs_database() && Instant::now() >= *self.retry_after.lock() {
            match self.look().await {
                Ok(()) => waiting.clear(),
                Err(error) => {
                    warn!(%error, "cannot read the configuration's head; data planes keep what they have");
                }
            }
        }
        if *self.head.borrow() == before {
            timer.stop_and_discard();
        }
    }

    /// Advances the state from `from`, and returns true. Does nothing, and returns false, if the state is at
    /// another head: then it was read from the database.
    ///
    /// Of very many changes, a thread of its own makes a changed copy of the content. Meanwhile everybody reads the
    /// state as it is.
    pub(super) async fn follow(&self, from: Head, to: Head, revisions: Vec<Revision>) -> bool {
        let mut content = {
            let mut state = self.state.lock();
            if state.head() != from {
                return false;
            }
            if revisions.iter().map(|changes| changes.len()).sum::<usize>() < MANY {
                state.advance(to, revisions);
                return true;
            }
            state.content()
        };
        let change = move || {
            content.change(&revisions);
            (content, revisions)
        };
        let (content, revisions) = off_workers(change).await;
        let mut state = self.state.lock();
        if state.head() != from {
            drop(state);
            drop_off_workers((content, revisions));
            return false;
        }
        let replaced = state.advance_to(to, content, revisions);
        drop(state);
        drop_off_workers(replaced);
        true
    }

    /// Sends the position of the state to the sessions.
    pub(super) fn push(&self) {
        // Locked until the position is sent, so that no other task sends an earlier one afterwards.
        let state = self.state.lock();
        let position = state.position();
        self.metrics.config_revision.set(i64::try_from(position.revision).unwrap_or(i64::MAX));
        self.head.send_if_modified(|head| std::mem::replace(head, position) != position);
    }

    /// Waits until the head may be sent to a data plane that holds `held`, and returns it. `None` when the
    /// data plane is ahead of the head, so that there is nothing to send.
    pub(super) async fn sendable_head(&self, held: Option<Position>) -> Option<Position> {
        loop {
            if let Some(held) = held.filter(|held| self.is_passed_by(held)) {
                self.catch_up_with(&held).await?;
            }
            let epoch = self.head.borrow().epoch;
            if held.is_none_or(|held| held.epoch != epoch) {
                self.pass_guard(held).await;
            }
            // While the guard waited, the database may have returned to an epoch that the data plane holds, at
            // an earlier revision.
            let head = *self.head.borrow();
            if head.epoch == epoch && !held.is_some_and(|held| self.is_passed_by(&held)) {
                return Some(head);
            }
        }
    }

    /// Whether an update to `to` may be sent to a data plane that holds `held`, after the guard has let `epoch`
    /// through to it.
    pub(super) fn may_send(&self, to: Position, epoch: Uuid, held: Option<Position>) -> bool {
        match held.filter(|held| held.epoch == to.epoch) {
            Some(held) => to.revision >= held.revision,
            None => to.epoch == epoch && self.guard.held_back().is_none(),
        }
    }

    /// Waits while the configuration must not reach a data plane that holds another epoch or nothing.
    async fn pass_guard(&self, held: Option<Position>) {
        if let Some(held) = held {
            let size = self.state.lock().size();
            self.guard.compare_with_fleet(&self.store, held, size).await;
        }
        self.guard.released().await;
    }

    /// Keeps the file of the last published head up to date, until its future is dropped.
    pub(super) async fn keep_last_head(&self) {
        let (mut head, mut held_back) = (self.head.subscribe(), self.guard.changes());
        loop {
            self.note_head().await;
            tokio::time::sleep(NOTED).await;
            // The senders live as long as this does.
            tokio::select! {
                _ = head.changed() => {}
                _ = held_back.changed() => {}
            }
        }
    }

    /// Writes the head to the file, unless it is held back: then the file still has the head of the data
    /// planes.
    pub(super) async fn note_head(&self) {
        if self.guard.held_back().is_some() {
            return;
        }
        let last = {
            let state = self.state.lock();
            LastHead::new(state.head(), state.size().entities)
        };
        let file = self.last_head.clone();
        // An error means that the runtime ends.
        tokio::task::spawn_blocking(move || file.write(last)).await.ok();
    }

    /// Trims the log from time to time, until its future is dropped.
    pub(super) async fn keep_log_short(&self) {
        let mut trim = tokio::time::interval(TRIM);
        loop {
            trim.tick().await;
            let oldest = self.head.borrow().revision.saturating_sub(LOG);
            if let Err(error) = self.store.trim_log(oldest).await {
                warn!(%error, "cannot trim the change log; will try again");
            }
        }
    }
}

/// Takes every commit made so far.
fn take_all(commits: &mut broadcast::Receiver<Commit>, waiting: &mut Waiting) {
    loop {
        match commits.try_recv() {
            Ok(commit) => waiting.commit(commit),
            Err(TryRecvError::Lagged(_)) => waiting.missed(),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}
