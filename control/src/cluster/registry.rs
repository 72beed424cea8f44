//! The registry of data planes: which ones are connected, what each holds, and what it last rejected.
//!
//! The registry keeps the data planes that are connected here in memory. It also writes them to the database
//! for other control planes and the Admin API. A connect or disconnect is written at once, other changes once
//! a second.

mod elsewhere;
mod known;
mod membership;
mod rival;
mod row;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use entity::data_plane;
use node::link::Peer;
use node::text::one_line;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use wire::{Hello, NackReason, Position};

use self::known::{CONFLICT, INCOMPATIBLE, Node, Refusal};
pub(super) use self::membership::Membership;
use self::rival::Rival;
use self::row::row;
use super::health::FleetHealth;
use crate::metrics::{ClusterMetrics, rejections};
use crate::store::{Store, StoreError};

/// How long a disconnected data plane is remembered, in seconds: 14 days, as in Kong.
pub const KEPT: i64 = 1_209_600;

/// How often data planes that are gone for longer are deleted.
const PURGE: Duration = Duration::from_secs(3600);
/// How often rows that have changed are written.
const FLUSH: Duration = Duration::from_secs(1);

/// The registry, shared by all sessions.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<RegistryState>,
}

#[derive(Debug)]
struct RegistryState {
    control_plane: Uuid,
    /// How long a data plane of another control plane counts as present after the last change of its row.
    silence: Duration,
    metrics: ClusterMetrics,
    health: FleetHealth,
    head: watch::Receiver<Position>,
    nodes: Mutex<Nodes>,
    /// Counts the changes of the positions that data planes hold.
    changes: watch::Sender<u64>,
    /// Notified when a data plane connects or disconnects.
    came_or_went: Notify,
    /// Held while rows are written, so that a data plane that is forgotten meanwhile does not come back.
    writing: tokio::sync::Mutex<()>,
    /// When this control plane last saw the rows of other control planes change.
    moved: Mutex<HashMap<Uuid, (i64, Instant)>>,
}

/// A connected data plane that does not hold a revision.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its id.
    pub node_id: Uuid,
    /// Why it rejected that revision, or a later one; `None` when it did not.
    pub refused: Option<String>,
    /// Whether it holds another epoch than the published one, or nothing.
    pub other_epoch: bool,
}

#[derive(Debug, Default)]
struct Nodes {
    by_id: HashMap<Uuid, Node>,
    changed: HashSet<Uuid>,
}

impl Registry {
    /// Creates an empty registry of the control plane `control_plane`. `heartbeat` is the interval of the
    /// cluster's heartbeats.
    pub fn new(
        control_plane: Uuid,
        heartbeat: Duration,
        metrics: ClusterMetrics,
        head: watch::Receiver<Position>,
    ) -> Self {
        let shared = RegistryState {
            control_plane,
            // A control plane writes a row within a second of each heartbeat.
            silence: 2 * heartbeat + FLUSH,
            health: FleetHealth::new(metrics.health.clone()),
            metrics,
            head,
            nodes: Mutex::default(),
            changes: watch::Sender::new(0),
            came_or_went: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            moved: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Registers a data plane after its hello. Ends an earlier session of the same process.
    ///
    /// # Errors
    /// When another process with its id is connected: returns the reason for the close.
    pub(super) fn join(&self, hello: &Hello, peer: &Peer) -> Result<Membership, String> {
        let mut nodes = self.shared.nodes.lock();
        if let Some(first) = nodes.by_id.get_mut(&hello.node_id).filter(|node| node.is_another(hello, peer)) {
            let reason = self.refuse_second(first, hello, peer);
            drop(nodes);
            self.shared.changes.send_modify(|count| *count += 1);
            return Err(reason);
        }
        let before = nodes.by_id.remove(&hello.node_id);
        if let Some(before) = &before {
            before.session.cancel();
        }
        let refused = before.as_ref().and_then(|before| before.refused_still(hello));
        let mut row = row(self.shared.control_plane, hello, peer);
        row.state = match refused {
            Some(Refusal { reason: NackReason::Unsupported, .. }) => INCOMPATIBLE.into(),
            Some(_) => "rejected".into(),
            None => self.state_of(hello.held.unwrap_or_default()).into(),
        };
        let node = Node::new(row, before, refused);
        let (replaced, probe) = (node.session.clone(), Arc::clone(&node.probe));
        nodes.by_id.insert(hello.node_id, node);
        nodes.changed.insert(hello.node_id);
        drop(nodes);
        self.shared.health.joined(hello.node_id);
        self.shared.came_or_went.notify_one();
        info!(node_id = %hello.node_id, hostname = one_line(&hello.hostname), "data plane connected");
        Ok(Membership { registry: self.clone(), node_id: hello.node_id, replaced, probe })
    }

    /// Notes a second process with the id of a connected data plane, and probes the first. If the first is
    /// not alive, its session ends, and the second is admitted when it retries.
    fn refuse_second(&self, first: &mut Node, hello: &Hello, peer: &Peer) -> String {
        self.shared.metrics.handshakes_refused.with_label_values(&[rejections::IN_USE]).inc();
        first.probe.notify_one();
        if Rival::note(&mut first.rival, hello, peer) {
            warn!(
                node_id = %hello.node_id, first = first.row.ip, second = %peer.address.ip(),
                hostname = one_line(&hello.hostname),
                "two data planes use one node id, the second is refused: each needs a state_dir of its own"
            );
        }
        format!("node id {} is used by another process, at {}", hello.node_id, first.row.ip)
    }

    /// Notes a data plane that has no protocol version in common with this control plane.
    pub(super) fn incompatible(&self, hello: &Hello, peer: &Peer, reason: &str) {
        self.shared.metrics.handshakes_refused.with_label_values(&[rejections::VERSIONS]).inc();
        let mut nodes = self.shared.nodes.lock();
        if nodes.by_id.get(&hello.node_id).is_some_and(|node| node.row.connected) {
            return;
        }
        let mut row = row(self.shared.control_plane, hello, peer);
        (row.connected, row.state) = (false, INCOMPATIBLE.into());
        let before = nodes.by_id.remove(&hello.node_id);
        let known = before.as_ref().is_some_and(|before| before.row.state == row.state);
        let mut node = Node::new(row, before, None);
        node.row.last_error =
            Some(json!({ "reason": rejections::VERSIONS, "message": reason, "at": seconds_now() }));
        nodes.by_id.insert(hello.node_id, node);
        nodes.changed.insert(hello.node_id);
        drop(nodes);
        self.shared.came_or_went.notify_one();
        // It retries every few seconds.
        if !known {
            warn!(node_id = %hello.node_id, address = %peer.address, "a data plane is incompatible: {reason}");
        }
    }

    /// Returns the position that a data plane has rejected and would reject again.
    pub(super) fn refused(&self, hello: &Hello) -> Option<Position> {
        let nodes = self.shared.nodes.lock();
        nodes.by_id.get(&hello.node_id)?.refused_still(hello).map(|refusal| refusal.to)
    }

    /// Returns the present rows of the data planes that are or were connected here.
    pub fn rows(&self) -> Vec<data_plane::Model> {
        self.shared.nodes.lock().by_id.values().map(Node::shown).collect()
    }

    /// Returns the data planes connected here that do not hold `revision` of the published epoch.
    pub fn pending(&self, revision: u64) -> Vec<Pending> {
        let head = *self.shared.head.borrow();
        let nodes = self.shared.nodes.lock();
        let connected = nodes.by_id.values().filter(|node| node.row.connected);
        connected
            .filter_map(|node| Pending::of(&node.row, head, revision).or_else(|| node.rival_lacks()))
            .collect()
    }

    /// Returns the health of the targets of the data planes that are connected here.
    pub fn health(&self) -> &FleetHealth {
        &self.shared.health
    }

    /// Changes whenever a data plane's row does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Forgets a data plane, here and in the database, and ends its session, if it has one.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget(&self, node_id: Uuid, store: &Store) -> Result<(), StoreError> {
        let _alone = self.shared.writing.lock().await;
        self.drop_node(node_id);
        store.data_planes().delete(node_id).await.map(drop)
    }

    /// Whether a row of another control plane has changed within the last two heartbeats, by this program's
    /// clock. The other's clock may be wrong, or be set, and must not make its data planes count as
    /// disconnected.
    pub fn is_moving(&self, row: &data_plane::Model) -> bool {
        let (now, silence) = (Instant::now(), self.shared.silence);
        let mut moved = self.shared.moved.lock();
        match moved.get(&row.id) {
            Some((seen, at)) if *seen == row.last_seen => now - *at <= silence,
            Some(_) => {
                moved.insert(row.id, (row.last_seen, now));
                true
            }
            // Not seen before: only the row's own time is known.
            None => {
                let age = u64::try_from(seconds_now().saturating_sub(row.last_seen)).unwrap_or(0);
                let age = Duration::from_secs(age);
                moved.insert(row.id, (row.last_seen, now.checked_sub(age).unwrap_or(now)));
                age <= silence
            }
        }
    }

    fn drop_node(&self, node_id: Uuid) {
        let mut nodes = self.shared.nodes.lock();
        nodes.changed.remove(&node_id);
        if let Some(node) = nodes.by_id.remove(&node_id) {
            node.session.cancel();
            self.shared.metrics.forget_node(node_id);
        }
        drop(nodes);
        self.shared.health.forget(node_id);
        self.shared.moved.lock().remove(&node_id);
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// Writes what has changed to the database, until `stop`.
    pub async fn follow(self, store: Store, stop: CancellationToken) {
        let mut purge = tokio::time::interval(PURGE);
        let mut stopped = false;
        while !stopped {
            tokio::select! {
                () = stop.cancelled() => stopped = true,
                _ = purge.tick() => self.purge(&store).await,
                () = self.shared.came_or_went.notified() => {}
                () = tokio::time::sleep(FLUSH) => {}
            }
            self.flush(&store).await;
        }
    }

    async fn purge(&self, store: &Store) {
        let oldest = seconds_now() - KEPT;
        let is_gone = |node: &Node| !node.row.connected && node.row.last_seen < oldest;
        let gone: Vec<Uuid> = {
            let nodes = self.shared.nodes.lock();
            nodes.by_id.iter().filter(|(_, node)| is_gone(node)).map(|(id, _)| *id).collect()
        };
        gone.into_iter().for_each(|node_id| self.drop_node(node_id));
        if let Err(error) = store.data_planes().purge(oldest).await {
            warn!(%error, "cannot forget data planes that are gone for long; will try again");
        }
        // Other control planes delete rows, too.
        match store.data_planes().list().await {
            Ok(rows) => self.retain_moved(&rows.iter().map(|row| row.id).collect()),
            Err(error) => warn!(%error, "cannot list the data planes; will try again"),
        }
    }

    /// Forgets when rows changed that do not exist any more.
    fn retain_moved(&self, existing: &HashSet<Uuid>) {
        self.shared.moved.lock().retain(|node_id, _| existing.contains(node_id));
    }

    async fn flush(&self, store: &Store) {
        let _alone = self.shared.writing.lock().await;
        let changed = std::mem::take(&mut self.shared.nodes.lock().changed);
        // If the database cannot be read, it cannot be written, and both are tried again.
        self.look_elsewhere(store, &changed).await.ok();
        let rows: Vec<_> = {
            let nodes = self.shared.nodes.lock();
            changed.iter().filter_map(|id| nodes.by_id.get(id)).map(Node::shown).collect()
        };
        self.measure();
        if let Err(error) = write(store, &rows).await {
            warn!(%error, "cannot write what is known of data planes; will try again");
            let mut nodes = self.shared.nodes.lock();
            let nodes = &mut *nodes;
            let known = rows.iter().map(|row| row.id).filter(|id| nodes.by_id.contains_key(id));
            nodes.changed.extend(known);
        }
    }

    /// Updates the metrics of each data plane.
    fn measure(&self) {
        self.shared.health.measure();
        let head = *self.shared.head.borrow();
        let nodes = self.shared.nodes.lock();
        for node in nodes.by_id.values() {
            self.shared.metrics.observe_node(&node.row, head);
        }
        let count = |counts: fn(&&Node) -> bool| {
            i64::try_from(nodes.by_id.values().filter(counts).count()).unwrap_or(i64::MAX)
        };
        let metrics = &self.shared.metrics;
        metrics.data_planes_connected.set(count(|node| node.row.connected));
        metrics.data_planes_incompatible.set(count(|node| node.is_incompatible()));
    }

    fn edit(&self, node_id: Uuid, edit: impl FnOnce(&mut Node)) {
        let mut nodes = self.shared.nodes.lock();
        if let Some(node) = nodes.by_id.get_mut(&node_id) {
            edit(node);
            node.row.updated_at = seconds_now();
            nodes.changed.insert(node_id);
        }
        drop(nodes);
        self.shared.changes.send_modify(|count| *count += 1);
    }

    fn state_of(&self, held: Position) -> &'static str {
        let head = *self.shared.head.borrow();
        if held.epoch == head.epoch && held.revision == head.revision { "synced" } else { "syncing" }
    }
}

impl Pending {
    /// Returns what a data plane lacks of `revision` in the epoch of `head`; `None` when it holds it. A data
    /// plane that is ahead of the head, or holds another root at the head's revision, holds another history
    /// with equal revision numbers. A node id that two processes use does not say what each of them holds.
    pub fn of(row: &data_plane::Model, head: Position, revision: u64) -> Option<Self> {
        let reaches = |number: Option<u64>| number.is_some_and(|number| number >= revision);
        let applied = row.applied_revision.map(i64::unsigned_abs);
        let follows = applied.is_some_and(|applied| {
            applied < head.revision
                || (applied == head.revision && row.config_hash == head.root.config_hash())
        });
        let holds = row.applied_epoch == Some(head.epoch) && follows && reaches(applied);
        let in_conflict = row.state == CONFLICT;
        let error = row.last_error.as_ref();
        let is_refusal =
            |error: &Value| error["epoch"] == json!(head.epoch) && reaches(error["revision"].as_u64());
        let refused = error
            .filter(|error| in_conflict || is_refusal(error))
            .map(|error| error["message"].as_str().unwrap_or_default().to_owned());
        let other_epoch = row.applied_epoch != Some(head.epoch);
        (!holds || in_conflict).then_some(Self { node_id: row.id, refused, other_epoch })
    }
}

/// Writes all rows; one that the database rejects does not block the others.
async fn write(store: &Store, rows: &[data_plane::Model]) -> Result<(), StoreError> {
    match store.data_planes().upsert(rows).await {
        Err(StoreError::Database(_)) => {}
        written => return written,
    }
    for row in rows {
        match store.data_planes().upsert(std::slice::from_ref(row)).await {
            Err(StoreError::Database(error)) => {
                warn!(%error, node_id = %row.id, "the database refuses what is known of a data plane");
            }
            written => written?,
        }
    }
    Ok(())
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
