//! What is committed, ready to be sent: the state in memory, its root, and updates encoded once for all
//! data planes.
//!
//! One task follows the commits of this process, which bring their changes with them, and the head of the
//! database, for those of others (told by PostgreSQL, and polled), and moves the state on, revision by
//! revision. It goes on only from its own revision's stamp: from a database that was put back to the past, and
//! perhaps written again, nothing leads on, whatever its numbers are. Sessions ask for the update that leads a
//! data plane to the head.

mod catch_up;
mod chain;
mod encoder;
mod entities;
mod fleet_guard;
mod last_head;
mod pace;
mod state;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;
use wire::{EncodedUpdate, Key, Position, Root};

use self::catch_up::load_after;
use self::encoder::Encoder;
pub use self::fleet_guard::HeldBack;
use self::fleet_guard::{FleetGuard, Size};
use self::last_head::{LastHead, LastHeadFile};
use self::pace::Pace;
use self::state::PublishedState;
use self::waiting::Waiting;
use crate::metrics::ClusterMetrics;
use crate::store::{Commit, Store, StoreError};

/// How often the head is read though nothing was heard: another control plane may have written. A database that
/// has failed is not asked again sooner.
const POLL: Duration = Duration::from_secs(1);
/// How often the log is trimmed.
const TRIM: Duration = Duration::from_secs(3600);
/// Revisions that the log keeps: who is further behind is sent a snapshot.
const LOG: u64 = 100_000;

/// How often the file of the last published head is written, at most.
const NOTED: Duration = Duration::from_secs(1);
/// Between two epochs that are begun because a data plane is ahead of the database: a data plane that lies costs no
/// more than a snapshot in this time.
const AHEAD: Duration = Duration::from_secs(10);

/// What the publisher is told by the node's configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The folder of the file that holds the last published head.
    pub data_dir: Option<PathBuf>,
    /// Whether a much smaller configuration of a new epoch is held back from data planes.
    pub guard: bool,
}

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
    shared: Arc<PublisherState>,
}

#[derive(Debug)]
struct PublisherState {
    store: Store,
    metrics: ClusterMetrics,
    head: watch::Sender<Position>,
    state: Mutex<PublishedState>,
    encoder: Encoder,
    guard: FleetGuard,
    last_head: LastHeadFile,
    /// When an epoch was last begun because a data plane is ahead.
    ahead: Mutex<Option<Instant>>,
    /// Held by who moves the state on from the database.
    reload_lock: tokio::sync::Mutex<()>,
    /// Held by who reads the log back into memory.
    remembering: tokio::sync::Mutex<()>,
    /// When a database that has failed is asked again.
    retry_after: Mutex<Instant>,
    /// Counts those who ask [`Publisher::caught_up`], and those who were answered.
    asked: watch::Sender<u64>,
    answered: watch::Sender<u64>,
}

impl Publisher {
    /// Reads the whole configuration.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn start(
        store: Store,
        metrics: ClusterMetrics,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let last_head = LastHeadFile::new(settings.data_dir);
        let known = last_head.read();
        let state = load_after(&store, known).await?;
        let guard = FleetGuard::new(settings.guard, metrics.clone());
        if let Some(LastHead { epoch, entities, .. }) = known {
            guard.compare(&store, Size { epoch, entities }, state.size()).await;
        }
        let head = state.position();
        info!(revision = head.revision, hash = head.root.config_hash(), "configuration loaded");
        metrics.config_revision.set(i64::try_from(head.revision).unwrap_or(i64::MAX));
        Ok(Self {
            shared: Arc::new(PublisherState {
                store,
                encoder: Encoder::new(metrics.clone()),
                guard,
                last_head,
                ahead: Mutex::default(),
                metrics,
                head: watch::Sender::new(head),
                state: Mutex::new(state),
                reload_lock: tokio::sync::Mutex::default(),
                remembering: tokio::sync::Mutex::default(),
                retry_after: Mutex::new(Instant::now()),
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
        let (revision, entities) = {
            let state = self.shared.state.lock();
            (state.head().revision, state.entities())
        };
        let entities = entities.iter().map(|(key, bytes)| (*key, bytes.clone())).collect();
        Published { revision, entities }
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
            () = self.shared.keep_last_head() => {}
        }
        self.shared.note_head().await;
    }

    /// The configuration that is held back from data planes, if one is.
    pub fn held_back(&self) -> Option<HeldBack> {
        self.shared.guard.held_back()
    }

    /// Confirms the configuration that the database holds: it is not held back any more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn confirm(&self) -> Result<Uuid, StoreError> {
        let epoch = confirm(&self.shared.store).await?;
        self.shared.guard.review(&self.shared.store, epoch).await;
        Ok(epoch)
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
            let looked = match shared.look().await {
                Ok(()) if held.as_ref().is_some_and(is_ahead) => shared.leave_lost_epoch().await,
                looked => looked,
            };
            if let Err(error) = looked {
                debug!(%error, "cannot tell whether a data plane is ahead; it keeps what it has");
                return None;
            }
        }
        if held.is_none_or(|held| held.epoch != shared.head.borrow().epoch) {
            shared.pass_guard(held).await;
        }
        let head = *shared.head.borrow();
        let same_history = held.filter(|held| held.epoch == head.epoch);
        if same_history.is_some_and(|held| held.revision == head.revision) {
            return None;
        }
        let behind = same_history.filter(|held| held.revision < head.revision);
        if let Some(held) = behind
            && let Err(error) = shared.load_changes(held.revision).await
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

impl PublisherState {
    /// Publishes what is committed, for as long as it is awaited.
    async fn publish(&self) {
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
                    let epoch = self.head.borrow().epoch;
                    self.guard.review(&self.store, epoch).await;
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
        state.evict();
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
            false => due.max(*self.retry_after.lock()),
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

    /// Tells the sessions where the state is now.
    fn push(&self) {
        // Held until they are told, so that nobody else tells them of an earlier state after this.
        let state = self.state.lock();
        let position = state.position();
        self.metrics.config_revision.set(i64::try_from(position.revision).unwrap_or(i64::MAX));
        self.head.send_if_modified(|head| std::mem::replace(head, position) != position);
    }

    /// Waits, if the configuration is not to reach a data plane that holds another epoch's, or none.
    async fn pass_guard(&self, held: Option<Position>) {
        if let Some(held) = held {
            let size = self.state.lock().size();
            self.guard.compare_with_fleet(&self.store, held, size).await;
        }
        self.guard.released().await;
    }

    /// Keeps the file of the last published head up to date, for as long as it is awaited.
    async fn keep_last_head(&self) {
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

    /// Notes the head, unless it is held back: then the file still says what the data planes have.
    async fn note_head(&self) {
        if self.guard.held_back().is_some() {
            return;
        }
        let last = {
            let state = self.state.lock();
            LastHead::new(state.head(), state.size().entities)
        };
        let file = self.last_head.clone();
        // An error says that the runtime ends.
        tokio::task::spawn_blocking(move || file.write(last)).await.ok();
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

/// Confirms the configuration that the database holds, for every control plane on it.
///
/// # Errors
/// When the database cannot be written.
pub async fn confirm(store: &Store) -> Result<Uuid, StoreError> {
    fleet_guard::confirm(store).await
}
