//! The published configuration: its state in memory, its root, and its updates, encoded once for all data
//! planes.
//!
//! One task follows the commits of this process, which carry their changes. It also follows the head of the
//! database for commits of other control planes, by PostgreSQL's notifications and by polling. It advances
//! the state revision by revision, and only with changes that follow the commit token of its own revision.
//! Changes of a database that was restored to the past do not match, whatever their numbers are. Sessions
//! request the update that brings a data plane to the head.

mod catch_up;
mod chain;
mod encoder;
mod entities;
mod fleet_guard;
mod follow;
mod last_head;
mod pace;
mod recent;
mod requirements;
mod state;
mod update;
mod waiting;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;
use wire::{Key, Kind, Mode, Partial, Position, Root};

use self::catch_up::load_after;
use self::encoder::Encoder;
pub use self::fleet_guard::HeldBack;
use self::fleet_guard::{FleetGuard, Size};
use self::last_head::{LastHead, LastHeadFile};
pub use self::requirements::{Known, Lacking};
use self::state::PublishedState;
pub use self::update::PublishedUpdate;
use crate::metrics::ClusterMetrics;
use crate::store::{Store, StoreError};

/// Interval for reading the head without a notification: another control plane may have written. A database
/// that has failed is not read again sooner.
const POLL: Duration = Duration::from_secs(1);
/// Time between two new epochs that begin because a data plane is ahead of the database. A data plane that
/// lies costs at most one snapshot in this time.
const AHEAD: Duration = Duration::from_secs(10);

/// Settings of the publisher, from the node's configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The folder of the file that holds the last published head.
    pub data_dir: Option<PathBuf>,
    /// Whether a much smaller configuration of a new epoch is held back from data planes.
    pub guard: bool,
}

/// A copy of the published configuration.
#[derive(Debug)]
pub struct Published {
    /// Its revision.
    pub revision: u64,
    /// The canonical bytes of each entity, which are shared.
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
    /// When an epoch last began because a data plane was ahead.
    ahead: Mutex<Option<Instant>>,
    /// Held by the task that advances the state from the database.
    reload_lock: tokio::sync::Mutex<()>,
    /// Held by the task that reads the log back into memory.
    remembering: tokio::sync::Mutex<()>,
    /// The time at which a database that has failed is read again.
    retry_after: Mutex<Instant>,
    /// Counts the calls of [`Publisher::caught_up`], and those that have returned.
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

    /// Returns the published position; changes with each publication.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.shared.head.subscribe()
    }

    /// Returns the published configuration.
    pub fn published(&self) -> Published {
        let (revision, entities) = {
            let state = self.shared.state.lock();
            (state.head().revision, state.entities())
        };
        let entities = entities.iter().map(|(key, bytes)| (*key, bytes.clone())).collect();
        Published { revision, entities }
    }

    /// Returns the published entities of a kind, as canonical bytes.
    pub fn of_kind(&self, kind: Kind) -> Vec<(Key, Bytes)> {
        let entities = self.shared.state.lock().entities();
        entities.of_kind(kind).map(|(key, bytes)| (*key, bytes.clone())).collect()
    }

    /// Returns the published entities of a kind whose canonical bytes pass a test. Of a million entities it
    /// takes a tenth of a second: call it off the runtime.
    pub fn find(&self, kind: Kind, test: impl Fn(&[u8]) -> bool) -> Vec<(Key, Bytes)> {
        let entities = self.shared.state.lock().entities();
        let found = entities.of_kind(kind).filter(|(_, bytes)| test(bytes));
        found.map(|(key, bytes)| (*key, bytes.clone())).collect()
    }

    /// Waits until all commits that this process has made so far are published. Then [`Publisher::head`]
    /// includes them, also when an abandoned epoch had the same revision numbers.
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
            () = self.shared.store.keep_files_clean() => {}
            () = self.shared.keep_log_short() => {}
            () = self.shared.keep_last_head() => {}
        }
        self.shared.note_head().await;
    }

    /// Returns the configuration that is held back from data planes, if there is one.
    pub fn held_back(&self) -> Option<HeldBack> {
        self.shared.guard.held_back()
    }

    /// Confirms the configuration in the database, so that it is not held back any more.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn confirm(&self) -> Result<Uuid, StoreError> {
        let epoch = confirm(&self.shared.store).await?;
        if let Err(error) = self.shared.look().await {
            debug!(%error, "the configuration is confirmed; the next look at the database releases it");
        }
        Ok(epoch)
    }

    /// Notes the position that a data plane held when it connected here. The guard does not hold back an epoch
    /// that data planes have already.
    pub fn data_plane_holds(&self, held: Position) {
        self.shared.guard.data_plane_holds(held);
    }

    /// Returns the update from the position of a data plane to the head: a delta where the log reaches back
    /// to it, a snapshot otherwise. `None` when no update is needed or known. While the database cannot be
    /// read, the head is that of the state in memory.
    pub async fn update_from(&self, held: Option<Position>) -> Option<Arc<PublishedUpdate>> {
        let shared = &self.shared;
        loop {
            let head = shared.sendable_head(held).await?;
            let same_history = held.filter(|held| held.epoch == head.epoch);
            if same_history.is_some_and(|held| held.revision == head.revision) {
                return None;
            }
            if let Some(held) = same_history
                && let Err(error) = shared.load_changes(held.revision).await
            {
                warn!(%error, revision = held.revision, "cannot read the change log; a data plane is sent a snapshot");
            }
            let update = shared.encoder.update(&shared.state, same_history).await;
            // The state may have been replaced before it was encoded.
            if shared.may_send(update.header.position(), head.epoch, held) {
                return Some(update);
            }
        }
    }

    /// Returns the update whose beginning a data plane has received, and the byte from which it goes on. If
    /// there is no such update any more, returns that of [`Publisher::update_from`], from its beginning.
    pub async fn rest_of(
        &self,
        partial: Partial,
        held: Option<Position>,
    ) -> Option<(Arc<PublishedUpdate>, u64)> {
        let shared = &self.shared;
        let head = shared.sendable_head(held).await?;
        let begun = shared.encoder.begun(&partial).filter(|update| {
            let to = update.header.position();
            let is_on_the_way = to.epoch == head.epoch && to.revision <= head.revision;
            is_on_the_way && starts_from(update, held) && shared.may_send(to, head.epoch, held)
        });
        let begun = match begun {
            Some(update) if continues(&update, partial.clone()).await => Some(update),
            _ => None,
        };
        let update = match begun {
            Some(update) => update,
            None => self.update_from(held).await?,
        };
        let received = partial.received;
        let fits = starts_from(&update, held) && continues(&update, partial).await;
        Some((update, if fits { received } else { 0 }))
    }

    /// Keeps an update for a while whose connection has ended before the data plane has answered it.
    pub fn cut_off(&self, update: Arc<PublishedUpdate>) {
        self.shared.encoder.cut_off(update);
    }

    /// Returns the buckets of the head that differ from a data plane's; `None` when the head has moved on.
    pub async fn repair(&self, held: Position, theirs: &[Root]) -> Option<Arc<PublishedUpdate>> {
        self.shared.encoder.repair(&self.shared.state, held, theirs).await
    }
}

/// Whether a data plane that holds this can apply the update.
fn starts_from(update: &PublishedUpdate, held: Option<Position>) -> bool {
    let header = &update.header;
    header.mode == Mode::Snapshot
        || held.is_some_and(|held| (held.epoch, held.revision) == (header.epoch, header.from))
}

/// Hashes the received part on a blocking thread: it may be long.
async fn continues(update: &Arc<PublishedUpdate>, partial: Partial) -> bool {
    if !partial.is_of(&update.header) {
        return false;
    }
    let update = Arc::clone(update);
    tokio::task::spawn_blocking(move || update.continues(&partial)).await.unwrap_or(false)
}

/// Confirms the configuration in the database for all its control planes.
///
/// # Errors
/// When the database cannot be written.
pub async fn confirm(store: &Store) -> Result<Uuid, StoreError> {
    fleet_guard::confirm(store).await
}

#[cfg(test)]
mod tests;
