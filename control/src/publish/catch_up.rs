//! Catches up with the head of the database: reads the log where it continues the state in memory, else the
//! whole configuration. A database that lacks the published head continues under a new epoch.

use std::collections::HashSet;
use std::mem;

use tokio::time::Instant;
use tracing::{debug, info, warn};
use wire::Position;

use super::chain::{ChainError, follow};
use super::last_head::LastHead;
use super::recent::{Revision, by_revision};
use super::state::PublishedState;
use super::{AHEAD, POLL, PublisherState};
use crate::off_workers::{drop_off_workers, wait_off_workers};
use crate::store::{Head, LoggedChange, Store, StoreError};

impl PublisherState {
    /// Advances the state to the head of the database. Fails at once during the pause after a failure.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        let _alone = self.reload_lock.lock().await;
        if Instant::now() < *self.retry_after.lock() {
            return Err(StoreError::Unavailable("it has failed a moment ago".to_owned()));
        }
        let read = self.read_on().await;
        self.metrics.database_reachable.set(i64::from(read.is_ok()));
        if read.is_err() {
            *self.retry_after.lock() = Instant::now() + POLL;
        }
        self.push();
        if read.is_ok() {
            // Under the lock, and after the push: the head is that of the state, also if a new epoch has just
            // been held back.
            let size = self.state.lock().size();
            self.guard.review(&self.store, size).await;
        }
        read
    }

    async fn read_on(&self) -> Result<(), StoreError> {
        let before = self.state.lock().head();
        let head = self.store.head().await?;
        if head == before {
            return Ok(());
        }
        match self.read_log(head, before).await? {
            Read::Followed => return Ok(()),
            Read::Gap => info!(from = before.revision, to = head.revision, "the log does not lead on"),
            Read::OtherHistory => {
                warn!(
                    from = before.revision,
                    to = head.revision,
                    "the database was put back to the past; its history goes on under a new epoch"
                );
                self.store.leave_epoch(head.epoch).await?;
            }
        }
        info!("reading everything anew");
        let loaded = load(&self.store).await?;
        let size = self.state.lock().size();
        self.guard.compare(&self.store, size, loaded.size()).await;
        let replaced = {
            let mut state = self.state.lock();
            // If commits of this process have advanced the state meanwhile, its history was right.
            if state.head() == before {
                self.encoder.clear();
                mem::replace(&mut *state, loaded)
            } else {
                loaded
            }
        };
        drop_off_workers(replaced);
        Ok(())
    }

    /// Whether a data plane that holds `held` has passed the head in the head's own epoch.
    pub(super) fn is_passed_by(&self, held: &Position) -> bool {
        let head = *self.head.borrow();
        held.epoch == head.epoch && held.revision > head.revision
    }

    /// Finds out why a data plane is ahead of the head. Either another control plane has sent a revision that
    /// is not known here yet, or the database was restored to the past. In the latter case the database
    /// counts, and its configuration goes out as a snapshot. `None` when the data plane is still ahead.
    pub(super) async fn catch_up_with(&self, held: &Position) -> Option<()> {
        let looked = match self.look().await {
            Ok(()) if self.is_passed_by(held) => self.leave_lost_epoch().await,
            looked => looked,
        };
        if let Err(error) = looked {
            debug!(%error, "cannot tell whether a data plane is ahead; it keeps what it has");
            return None;
        }
        // An epoch that began a moment ago keeps the next one from beginning.
        (!self.is_passed_by(held)).then_some(())
    }

    /// Begins another epoch: a data plane holds a revision that the database lacks, though every published
    /// revision was read back from it. Does nothing if an epoch has begun like this within [`AHEAD`].
    async fn leave_lost_epoch(&self) -> Result<(), StoreError> {
        {
            let mut last = self.ahead.lock();
            if last.is_some_and(|last| last.elapsed() < AHEAD) {
                return Ok(());
            }
            *last = Some(Instant::now());
        }
        let head = *self.head.borrow();
        warn!(
            revision = head.revision,
            "a data plane holds a later revision than the database: the database was restored; its history goes on \
             under a new epoch"
        );
        self.store.leave_epoch(head.epoch).await?;
        self.look().await
    }

    /// Reads the log from `before` to `head`.
    async fn read_log(&self, head: Head, before: Head) -> Result<Read, StoreError> {
        if head.epoch != before.epoch {
            return Ok(Read::Gap);
        }
        if head.revision <= before.revision {
            return Ok(Read::OtherHistory);
        }
        let store = self.store.clone();
        let logged = wait_off_workers(async move { Logged::read(&store, before, head).await }).await?;
        Ok(match logged {
            Logged::Revisions(revisions) => {
                // If commits of this process have advanced the state meanwhile, the loop looks for the rest.
                PublisherState::follow(self, before, head, revisions).await;
                Read::Followed
            }
            Logged::Gap => Read::Gap,
            Logged::OtherHistory => Read::OtherHistory,
        })
    }

    /// Makes sure that the changes since `revision` are in memory, if the log still has them. One call at a
    /// time: the second one seldom has anything left to read.
    pub(super) async fn load_changes(&self, revision: u64) -> Result<(), StoreError> {
        if self.state.lock().remembers(revision) {
            return Ok(());
        }
        let _alone = self.remembering.lock().await;
        let (mut log, mut read) = (Vec::new(), revision);
        while let Some(to) = self.restore(revision, read, &mut log) {
            if read == revision && self.store.log_begins().await?.is_none_or(|first| first > revision + 1) {
                return Ok(());
            }
            let store = self.store.clone();
            log.append(&mut wait_off_workers(async move { store.changes(read, to).await }).await?);
            read = to;
        }
        Ok(())
    }

    fn restore(&self, from: u64, read: u64, log: &mut Vec<LoggedChange>) -> Option<u64> {
        self.state.lock().restore(from, read, log)
    }
}

/// The result of reading the log.
enum Read {
    Followed,
    /// The log was trimmed, or the database has another epoch.
    Gap,
    /// The head does not follow the state in memory.
    OtherHistory,
}

/// The log between two heads.
enum Logged {
    /// It leads from one to the other.
    Revisions(Vec<Revision>),
    /// It lacks revisions, or what one of them held.
    Gap,
    OtherHistory,
}

impl Logged {
    async fn read(store: &Store, before: Head, head: Head) -> Result<Self, StoreError> {
        let changes = store.changes(before.revision, head.revision).await?;
        if has_unanswered_blank(&changes) {
            return Ok(Self::Gap);
        }
        Ok(match follow(before, &changes) {
            Ok(end) if end == head => Self::Revisions(by_revision(&changes)),
            Err(ChainError::OtherHistory) => Self::OtherHistory,
            Ok(_) | Err(ChainError::Gap) => Self::Gap,
        })
    }
}

/// Whether a change was blanked by a later one that is not among these: that one came after the head that was
/// read.
fn has_unanswered_blank(changes: &[LoggedChange]) -> bool {
    let mut later = HashSet::new();
    changes.iter().rev().any(|change| {
        let unanswered = change.superseded && !later.contains(&change.key);
        later.insert(change.key);
        unanswered
    })
}

/// Reads the whole configuration. Begins a new epoch if the database lacks the last published head.
pub(super) async fn load_after(store: &Store, known: Option<LastHead>) -> Result<PublishedState, StoreError> {
    let state = load(store).await?;
    let Some(known) = known else { return Ok(state) };
    if !known.is_lost(store, state.head()).await? {
        return Ok(state);
    }
    warn!(
        from = known.revision,
        to = state.head().revision,
        "the database was restored while this control plane was stopped; its history goes on under a new epoch"
    );
    store.leave_epoch(known.epoch).await?;
    load(store).await
}

async fn load(store: &Store) -> Result<PublishedState, StoreError> {
    let store = store.clone();
    wait_off_workers(async move {
        let (head, entities) = store.published().await?;
        Ok(PublishedState::new(head, entities))
    })
    .await
}
