//! What is committed, ready to be sent: the state in memory, its root, and updates encoded once for all
//! data planes.
//!
//! One task follows the commits of this process, which bring their changes with them, and the head of the
//! database, for those of others (told by PostgreSQL, and polled), and moves the state on, revision by
//! revision. It goes on only from its own revision's stamp: from a database that was put back to the past, and
//! perhaps written again, nothing leads on, whatever its numbers are. Sessions ask for the update that leads a
//! data plane to the head.

mod chain;
mod encoder;
mod pace;
mod state;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use wire::{EncodedUpdate, Key, Position, Root};

use self::chain::{Broken, follow};
use self::encoder::Encoder;
use self::pace::Pace;
use self::state::State;
use self::waiting::Waiting;
use crate::metrics::ClusterMetrics;
use crate::store::{Change, Commit, Head, Store, StoreError};

/// How often the head is read though nothing was heard: another control plane may have written. A database that
/// has failed is not asked again sooner.
const POLL: Duration = Duration::from_secs(1);
/// How often the log is trimmed.
const TRIM: Duration = Duration::from_secs(3600);
/// Revisions that the log keeps: who is further behind is sent a snapshot.
const LOG: u64 = 100_000;

/// What is published, for who reads it.
#[derive(Debug)]
pub struct Published {
    /// Its revision.
    pub revision: u64,
    /// Each entity's canonical bytes, which are shared.
    pub entities: Vec<(Key, Bytes)>,
}

/// The publisher, shared by all sessions.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    metrics: ClusterMetrics,
    head: watch::Sender<Position>,
    state: Mutex<State>,
    encoder: Encoder,
    /// Held by who moves the state on from the database.
    looking: tokio::sync::Mutex<()>,
    /// Held by who reads the log back into memory.
    remembering: tokio::sync::Mutex<()>,
    /// When a database that has failed is asked again.
    rested: Mutex<Instant>,
    /// Counts those who ask [`Publisher::caught_up`], and those who were answered.
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
}

impl Publisher {
    /// Reads the whole configuration.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(store: Store, metrics: ClusterMetrics) -> Result<Self, StoreError> {
        let state = load(&store).await?;
        let head = state.position();
        info!(revision = head.revision, hash = head.root.config_hash(), "configuration loaded");
        metrics.config_revision.set(i64::try_from(head.revision).unwrap_or(i64::MAX));
        Ok(Self {
            shared: Arc::new(Shared {
                store,
                encoder: Encoder::new(metrics.clone()),
                metrics,
                head: watch::Sender::new(head),
                state: Mutex::new(state),
                looking: tokio::sync::Mutex::default(),
                remembering: tokio::sync::Mutex::default(),
                rested: Mutex::new(Instant::now()),
                asked: watch::Sender::new(0),
                answered: watch::Sender::new(0),
            }),
        })
    }

    /// Where the configuration stands; changes with each publication.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.shared.head.subscribe()
    }

    /// What is published now.
    pub fn published(&self) -> Published {
        let state = self.shared.state.lock();
        Published { revision: state.head().revision, entities: state.entities() }
    }

    /// Until all that this process has committed so far is published: what [`Publisher::head`] says then counts
    /// these commits in, also when their numbers were given before, in a history that is left.
    pub async fn caught_up(&self) {
        let mut turn = 0;
        self.shared.asked.send_modify(|count| {
            *count += 1;
            turn = *count;
        });
        // The sender lives as long as `self`.
        self.shared.answered.subscribe().wait_for(|answered| *answered >= turn).await.ok();
    }

    /// Follows the database until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.shared.publish() => {}
            () = self.shared.store.listen() => {}
            () = self.shared.keep_log_short() => {}
        }
    }

    /// The update that leads from what a data plane holds to the head: a delta where the log reaches
    /// back to it, a snapshot otherwise; `None` when there is nothing to lead to. While the database cannot be
    /// read, what is in memory is led to.
    pub async fn update_from(&self, held: Option<Position>) -> Option<Arc<EncodedUpdate>> {
        let shared = &self.shared;
        let is_ahead = |held: &Position| {
            let head = *shared.head.borrow();
            held.epoch == head.epoch && held.revision > head.revision
        };
        if held.as_ref().is_some_and(is_ahead) {
            // Another control plane has sent it what is not known here yet. Or the database was put back
            // to the past: then what it says now counts, and it goes as a snapshot.
            if let Err(error) = shared.look().await {
                debug!(%error, "cannot tell whether a data plane is ahead; it keeps what it has");
                return None;
            }
        }
        let head = *shared.head.borrow();
        let same_history = held.filter(|held| held.epoch == head.epoch);
        if same_history.is_some_and(|held| held.revision == head.revision) {
            return None;
        }
        let behind = same_history.filter(|held| held.revision < head.revision);
        if let Some(held) = behind
            && let Err(error) = shared.remember(held.revision).await
        {
            warn!(%error, revision = held.revision, "cannot read the change log; a data plane is sent a snapshot");
        }
        Some(shared.encoder.update(&shared.state, behind).await)
    }

    /// The buckets of the head that differ from a data plane's; `None` when the head has moved on.
    pub async fn repair(&self, held: Position, theirs: &[Root]) -> Option<Arc<EncodedUpdate>> {
        self.shared.encoder.repair(&self.shared.state, held, theirs).await
    }
}

impl Shared {
    /// Publishes what is committed, for as long as it is awaited.
    async fn publish(&self) {
        let (mut commits, mut heard) = (self.store.commits(), self.store.heard());
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
                Ok(()) = heard.changed() => self.hear(*heard.borrow_and_update(), &mut waiting),
                Ok(()) = asked.changed() => {
                    turn = *asked.borrow_and_update();
                    take_all(&mut commits, &mut waiting);
                }
                _ = poll.tick() => {
                    self.tidy();
                    waiting.look();
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

    /// Gives back memory that nobody needs any more.
    fn tidy(&self) {
        let mut state = self.state.lock();
        state.forget();
        self.encoder.tidy(state.position());
    }

    /// Takes a hint of another control plane's commit.
    fn hear(&self, revision: u64, waiting: &mut Waiting) {
        if revision == 0 || revision > self.head.borrow().revision {
            waiting.look();
        }
    }

    /// When to go on with what waits. What was handed over does not wait for a database that has failed.
    fn due(&self, waiting: &Waiting, pace: &Pace) -> Instant {
        let due = pace.due(self.data_planes());
        match waiting.may_lead_on(self.head.borrow().revision) {
            true => due,
            false => due.max(*self.rested.lock()),
        }
    }

    /// How many follow the head: the sessions, and a few others.
    fn data_planes(&self) -> usize {
        self.head.receiver_count()
    }

    /// Takes in what waits: what was handed over first, so that it goes out whatever the database does.
    async fn advance(&self, waiting: &mut Waiting) {
        let timer = self.metrics.publish_duration.start_timer();
        let before = *self.head.borrow();
        {
            let mut state = self.state.lock();
            waiting.forget_known(&state);
            if let Some((head, changes)) = waiting.lead_on(state.head()) {
                state.advance(head, changes);
            }
        }
        self.push();
        if waiting.needs_database() && Instant::now() >= *self.rested.lock() {
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

    /// Tells the sessions where the state is now.
    fn push(&self) {
        // Held until they are told, so that nobody else tells them of an earlier state after this.
        let state = self.state.lock();
        let position = state.position();
        self.metrics.config_revision.set(i64::try_from(position.revision).unwrap_or(i64::MAX));
        self.head.send_if_modified(|head| std::mem::replace(head, position) != position);
    }

    /// Moves the state on to where the database is; fails at once while one that has failed is left alone.
    async fn look(&self) -> Result<(), StoreError> {
        let _alone = self.looking.lock().await;
        if Instant::now() < *self.rested.lock() {
            return Err(StoreError::Unavailable("it has failed a moment ago".to_owned()));
        }
        let read = self.read_on().await;
        self.metrics.database_reachable.set(i64::from(read.is_ok()));
        if read.is_err() {
            *self.rested.lock() = Instant::now() + POLL;
        }
        self.push();
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
        let mut state = self.state.lock();
        // Who has moved on meanwhile, by what was handed over, was right about the history.
        if state.head() == before {
            *state = loaded;
            self.encoder.clear();
        }
        Ok(())
    }

    /// Follows the log from `before` to `head`.
    async fn read_log(&self, head: Head, before: Head) -> Result<Read, StoreError> {
        if head.epoch != before.epoch {
            return Ok(Read::Gap);
        }
        if head.revision <= before.revision {
            return Ok(Read::OtherHistory);
        }
        let changes = self.store.changes(before.revision, head.revision).await?;
        Ok(match follow(before, &changes) {
            Ok(end) if end == head => {
                let mut state = self.state.lock();
                // Else it has moved on meanwhile, by what was handed over: what is left is looked for again.
                if state.head() == before {
                    state.advance(head, changes);
                }
                Read::Followed
            }
            Err(Broken::OtherHistory) => Read::OtherHistory,
            Ok(_) | Err(Broken::Gap) => Read::Gap,
        })
    }

    /// Trims the log from time to time, for as long as it is awaited.
    async fn keep_log_short(&self) {
        let mut trim = tokio::time::interval(TRIM);
        loop {
            trim.tick().await;
            let oldest = self.head.borrow().revision.saturating_sub(LOG);
            if let Err(error) = self.store.trim_log(oldest).await {
                warn!(%error, "cannot trim the change log; will try again");
            }
        }
    }

    /// Makes sure that the changes since `revision` are in memory, if the log still has them. One at a time: who
    /// comes second seldom has anything left to read.
    async fn remember(&self, revision: u64) -> Result<(), StoreError> {
        if self.state.lock().remembers(revision) {
            return Ok(());
        }
        let _alone = self.remembering.lock().await;
        let (mut log, mut read) = (Vec::new(), revision);
        while let Some(to) = self.recall(revision, read, &mut log) {
            if read == revision && self.store.log_begins().await?.is_none_or(|first| first > revision + 1) {
                return Ok(());
            }
            log.extend(self.store.changes(read, to).await?);
            read = to;
        }
        Ok(())
    }

    fn recall(&self, from: u64, read: u64, log: &mut Vec<Change>) -> Option<u64> {
        self.state.lock().recall(from, read, log)
    }
}

/// What became of reading the log.
enum Read {
    Followed,
    /// The log was trimmed, or the database tells of another epoch.
    Gap,
    /// The head is not one that follows what is held here.
    OtherHistory,
}

/// Takes every commit that was made until now.
fn take_all(commits: &mut broadcast::Receiver<Commit>, waiting: &mut Waiting) {
    loop {
        match commits.try_recv() {
            Ok(commit) => waiting.commit(commit),
            Err(TryRecvError::Lagged(_)) => waiting.missed(),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

async fn load(store: &Store) -> Result<State, StoreError> {
    let (head, entities) = store.published().await?;
    Ok(State::new(head, entities))
}
