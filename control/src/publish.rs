//! What is committed, ready to be sent: the state in memory, its root, and updates encoded once for all
//! data planes.
//!
//! One task follows the commits of this process, which bring their changes with them, and the head of the
//! database, for those of others (told by PostgreSQL, and polled), and moves the state on, revision by
//! revision. Sessions ask for the update that leads a data plane to the head; however many ask for the same
//! one, it is encoded once.

mod pace;
mod state;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use wire::{EncodedUpdate, Position, Root, Update};

use self::pace::Pace;
use self::state::{Material, State};
use self::waiting::Waiting;
use crate::metrics::ClusterMetrics;
use crate::store::{Head, Store, StoreError};

/// How often the head is read though nothing was heard: another control plane may have written.
const POLL: Duration = Duration::from_secs(1);
/// How often the log is trimmed.
const TRIM: Duration = Duration::from_secs(3600);
/// Revisions that the log keeps: who is further behind is sent a snapshot.
const LOG: u64 = 100_000;
/// Updates kept encoded: data planes that are not far behind ask for the same few.
const KEPT: usize = 64;

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
    /// Held by who moves the state on.
    advancing: tokio::sync::Mutex<()>,
    encoded: Mutex<Vec<(Wanted, Encoding)>>,
}

/// An update that may be under way of being encoded; whoever comes second waits for the first.
type Encoding = Arc<OnceCell<Arc<EncodedUpdate>>>;

/// Identifies an encoded update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    from: Option<u64>,
    to: Position,
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
                metrics,
                head: watch::Sender::new(head),
                state: Mutex::new(state),
                advancing: tokio::sync::Mutex::default(),
                encoded: Mutex::new(Vec::new()),
            }),
        })
    }

    /// Where the configuration stands; changes with each publication.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.shared.head.subscribe()
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
    /// back to it, a snapshot otherwise; `None` when there is nothing to lead to.
    ///
    /// # Errors
    /// When the change log cannot be read.
    pub async fn update_from(
        &self,
        held: Option<Position>,
    ) -> Result<Option<Arc<EncodedUpdate>>, StoreError> {
        let shared = &self.shared;
        let is_ahead = |held: &Position| {
            let head = *shared.head.borrow();
            held.epoch == head.epoch && held.revision > head.revision
        };
        if held.as_ref().is_some_and(is_ahead) {
            // Another control plane has sent it what is not known here yet. Or the database was put back
            // to the past: then what it says now counts, and it goes as a snapshot.
            shared.advance(&mut Waiting::in_database()).await?;
        }
        let head = *shared.head.borrow();
        let same_history = held.filter(|held| held.epoch == head.epoch);
        if same_history.is_some_and(|held| held.revision == head.revision) {
            return Ok(None);
        }
        let behind = same_history.filter(|held| held.revision < head.revision);
        if let Some(held) = behind {
            shared.remember(held.revision).await?;
        }
        let (wanted, encoding) = shared.wanted(behind.map(|held| held.revision));
        let update = encoding
            .get_or_try_init(|| async {
                let material = shared.state.lock().material(wanted.from);
                Ok::<_, StoreError>(Arc::new(shared.encode(material).await))
            })
            .await?;
        Ok(Some(Arc::clone(update)))
    }

    /// The buckets of the head that differ from a data plane's; `None` when the head has moved on.
    pub async fn repair(&self, held: Position, theirs: &[Root]) -> Option<Arc<EncodedUpdate>> {
        let material = self.shared.state.lock().repair(held.revision, theirs)?;
        Some(Arc::new(self.shared.encode(material).await))
    }
}

impl Shared {
    /// Publishes what is committed, for as long as it is awaited.
    async fn publish(&self) {
        let (mut commits, mut heard) = (self.store.commits(), self.store.heard());
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut waiting, mut pace) = (Waiting::default(), Pace::new(Instant::now()));
        loop {
            tokio::select! {
                commit = commits.recv() => match commit {
                    Ok(commit) => waiting.commit(commit),
                    Err(RecvError::Lagged(_)) => waiting.look(),
                    Err(RecvError::Closed) => return,
                },
                // The sender lives as long as the store does.
                Ok(()) = heard.changed() => self.hear(*heard.borrow_and_update(), &mut waiting),
                _ = poll.tick() => waiting.look(),
                () = tokio::time::sleep_until(pace.due(self.data_planes())), if !waiting.is_empty() => {}
            }
            if waiting.is_empty() || Instant::now() < pace.due(self.data_planes()) {
                continue;
            }
            let before = *self.head.borrow();
            let result = self.advance(&mut waiting).await;
            if *self.head.borrow() != before {
                pace.pushed(Instant::now(), self.data_planes());
            }
            self.metrics.database_reachable.set(i64::from(result.is_ok()));
            if let Err(error) = result {
                warn!(%error, "cannot read the configuration's head; data planes keep what they have");
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// Takes a hint of another control plane's commit.
    fn hear(&self, revision: u64, waiting: &mut Waiting) {
        if revision == 0 || revision > self.head.borrow().revision {
            waiting.look();
        }
    }

    /// How many follow the head: the sessions, and a few others.
    fn data_planes(&self) -> usize {
        self.head.receiver_count()
    }

    /// Takes in what was committed since the last time.
    async fn advance(&self, waiting: &mut Waiting) -> Result<(), StoreError> {
        let _alone = self.advancing.lock().await;
        let timer = self.metrics.publish_duration.start_timer();
        let head = *self.head.borrow();
        if let Some((revision, changes)) = waiting.lead_on(head) {
            self.state.lock().advance(revision, changes);
        }
        let position = self.state.lock().position();
        let read = match waiting.needs_database(position) {
            true => self.read_on(position).await,
            false => Ok(()),
        };
        // What was handed over goes out, also when the database cannot tell of more.
        let position = self.state.lock().position();
        if read.is_ok() {
            waiting.published(position);
        }
        if position == head {
            timer.stop_and_discard();
        } else {
            timer.observe_duration();
            self.metrics.config_revision.set(i64::try_from(position.revision).unwrap_or(i64::MAX));
            self.head.send_replace(position);
        }
        read
    }

    /// Moves the state on from `before` to where the database is.
    async fn read_on(&self, before: Position) -> Result<(), StoreError> {
        let head = self.store.head().await?;
        if head.epoch == before.epoch && head.revision == before.revision {
            return Ok(());
        }
        if head.epoch == before.epoch && head.revision < before.revision {
            warn!(
                from = before.revision,
                to = head.revision,
                "the database was put back to the past; its history goes on under a new epoch"
            );
            self.store.leave_epoch(head.epoch).await?;
        } else if self.read_log(head, before).await? {
            return Ok(());
        }
        info!(
            from = before.revision,
            to = head.revision,
            "the log does not lead on; reading everything anew"
        );
        let state = load(&self.store).await?;
        *self.state.lock() = state;
        self.encoded.lock().clear();
        Ok(())
    }

    /// Follows the log to `head`; `false` when it does not lead there, because the database tells another
    /// history or the log was trimmed.
    async fn read_log(&self, head: Head, before: Position) -> Result<bool, StoreError> {
        if head.epoch != before.epoch {
            return Ok(false);
        }
        let changes = self.store.changes(before.revision, head.revision).await?;
        let leads = state::is_whole(before.revision, head.revision, &changes);
        if leads {
            self.state.lock().advance(head.revision, changes);
        }
        Ok(leads)
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

    /// Makes sure that the changes since `revision` are in memory, if the log still has them.
    async fn remember(&self, revision: u64) -> Result<(), StoreError> {
        let Some((from, to)) = self.state.lock().missing_since(revision) else { return Ok(()) };
        let changes = self.store.changes(from, to).await?;
        self.state.lock().recall(from, changes);
        Ok(())
    }

    fn wanted(&self, from: Option<u64>) -> (Wanted, Encoding) {
        let (from, to) = {
            let state = self.state.lock();
            (from.filter(|revision| state.missing_since(*revision).is_none()), state.position())
        };
        let wanted = Wanted { from, to };
        let mut encoded = self.encoded.lock();
        if let Some((_, encoding)) = encoded.iter().find(|(known, _)| *known == wanted) {
            return (wanted, Arc::clone(encoding));
        }
        if wanted.from.is_none() {
            // Of snapshots, which may be large, the newest alone.
            encoded.retain(|(known, _)| known.from.is_some());
        }
        if encoded.len() == KEPT {
            encoded.remove(0);
        }
        let encoding = Encoding::default();
        encoded.push((wanted, Arc::clone(&encoding)));
        (wanted, encoding)
    }

    /// Compressing a large snapshot takes a core for a while: not one that serves sockets.
    async fn encode(&self, material: Material) -> EncodedUpdate {
        self.metrics.updates_encoded.with_label_values(&[material.mode.as_str()]).inc();
        let encode = move || {
            let Material { mode, from, to, payload } = material;
            EncodedUpdate::new(&Update::new(mode, from, to, payload))
        };
        match tokio::task::spawn_blocking(encode).await {
            Ok(update) => update,
            Err(error) => {
                error!(%error, "encoding an update failed");
                std::panic::resume_unwind(error.into_panic())
            }
        }
    }
}

async fn load(store: &Store) -> Result<State, StoreError> {
    let (head, entities) = store.published().await?;
    Ok(State::new(head, entities))
}
