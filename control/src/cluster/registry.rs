//! Who is connected, what each data plane holds, and what it refused last.
//!
//! Kept in memory for those connected here, and written to the database, where other control planes and
//! the Admin API read it: who comes and goes at once, the rest once a second.

mod row;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use entity::data_plane;
use node::link::Peer;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use wire::{Ack, Hello, Nack, NackReason, Position};

use self::row::{hold, row, stored};
use super::session::Report;
use crate::metrics::ClusterMetrics;
use crate::store::{Store, StoreError};

/// How long a data plane that is gone is remembered, in seconds: 14 days, as Kong.
pub const KEPT: i64 = 1_209_600;

/// How often those that are gone for longer are looked for.
const PURGE: Duration = Duration::from_secs(3600);
/// How often rows that have changed are written.
const FLUSH: Duration = Duration::from_secs(1);

/// The registry, shared by all sessions.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    control_plane: Uuid,
    metrics: ClusterMetrics,
    head: watch::Receiver<Position>,
    nodes: Mutex<Nodes>,
    /// Counts the changes of what data planes hold.
    changes: watch::Sender<u64>,
    /// One has come or gone.
    came_or_went: Notify,
}

/// A data plane that is connected and does not hold a revision.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Its id.
    pub node_id: Uuid,
    /// Why it refused that revision, or one after it; `None` when it did not.
    pub refused: Option<String>,
}

#[derive(Debug, Default)]
struct Nodes {
    by_id: HashMap<Uuid, Node>,
    changed: HashSet<Uuid>,
}

#[derive(Debug)]
struct Node {
    row: data_plane::Model,
    /// What its last refused update led to; outlives the connection, so that a reconnect does not bring the
    /// refused revision back.
    refused: Option<Refusal>,
    /// Ends its session; replaced with each connection.
    session: CancellationToken,
}

/// A refusal that no later update has mended.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    to: Position,
    reason: NackReason,
}

/// What a session holds while its data plane is connected; dropping it says that it is gone.
#[derive(Debug)]
pub(super) struct Membership {
    registry: Registry,
    node_id: Uuid,
    /// Cancelled when the same node id connects anew.
    pub(super) replaced: CancellationToken,
}

impl Registry {
    /// An empty registry of the control plane `control_plane`.
    pub fn new(control_plane: Uuid, metrics: ClusterMetrics, head: watch::Receiver<Position>) -> Self {
        let (nodes, changes) = (Mutex::default(), watch::Sender::new(0));
        let came_or_went = Notify::new();
        Self { shared: Arc::new(Shared { control_plane, metrics, head, nodes, changes, came_or_went }) }
    }

    /// Takes in a data plane that has introduced itself. A session of the same node id ends.
    pub(super) fn join(&self, hello: &Hello, peer: &Peer) -> Membership {
        let replaced = CancellationToken::new();
        let mut nodes = self.shared.nodes.lock();
        let row = row(self.shared.control_plane, hello, peer);
        let before = nodes.by_id.remove(&hello.node_id);
        if let Some(before) = &before {
            before.session.cancel();
        }
        let refused = before.as_ref().and_then(|before| before.refused_still(hello));
        let mut row = match before {
            Some(before) => {
                let created_at = before.row.created_at;
                data_plane::Model { last_error: before.row.last_error, created_at, ..row }
            }
            None => row,
        };
        row.state = match refused {
            Some(_) => "rejected".into(),
            None => self.state_of(hello.held.unwrap_or_default()).into(),
        };
        nodes.by_id.insert(hello.node_id, Node { row, refused, session: replaced.clone() });
        nodes.changed.insert(hello.node_id);
        drop(nodes);
        self.shared.came_or_went.notify_one();
        info!(node_id = %hello.node_id, hostname = hello.hostname, "data plane connected");
        Membership { registry: self.clone(), node_id: hello.node_id, replaced }
    }

    /// What a data plane that introduces itself has refused and would refuse again.
    pub(super) fn refused(&self, hello: &Hello) -> Option<Position> {
        let nodes = self.shared.nodes.lock();
        nodes.by_id.get(&hello.node_id)?.refused_still(hello).map(|refusal| refusal.to)
    }

    /// The rows of those that are or were connected here, as they are now.
    pub fn rows(&self) -> Vec<data_plane::Model> {
        self.shared.nodes.lock().by_id.values().map(|node| node.row.clone()).collect()
    }

    /// Those connected here that do not hold `revision` of the history that is published.
    pub fn pending(&self, revision: u64) -> Vec<Pending> {
        let epoch = self.shared.head.borrow().epoch;
        let nodes = self.shared.nodes.lock();
        let connected = nodes.by_id.values().filter(|node| node.row.connected);
        connected.filter_map(|node| Pending::of(&node.row, epoch, revision)).collect()
    }

    /// Changes whenever one of them does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Forgets a data plane and ends its session, if it has one.
    pub fn forget(&self, node_id: Uuid) {
        let mut nodes = self.shared.nodes.lock();
        nodes.changed.remove(&node_id);
        if let Some(node) = nodes.by_id.remove(&node_id) {
            node.session.cancel();
            self.shared.metrics.forget_node(node_id);
        }
        drop(nodes);
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
        gone.into_iter().for_each(|node_id| self.forget(node_id));
        if let Err(error) = store.data_planes().purge(oldest).await {
            warn!(%error, "cannot forget data planes that are gone for long; will try again");
        }
    }

    async fn flush(&self, store: &Store) {
        let rows: Vec<_> = {
            let mut nodes = self.shared.nodes.lock();
            let changed = std::mem::take(&mut nodes.changed);
            changed.iter().filter_map(|id| nodes.by_id.get(id)).map(|node| node.row.clone()).collect()
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

    /// Brings the metrics of each data plane up to date.
    fn measure(&self) {
        let head = *self.shared.head.borrow();
        let nodes = self.shared.nodes.lock();
        for node in nodes.by_id.values() {
            self.shared.metrics.observe_node(&node.row, head);
        }
        let connected = nodes.by_id.values().filter(|node| node.row.connected).count();
        self.shared.metrics.data_planes_connected.set(i64::try_from(connected).unwrap_or(i64::MAX));
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

impl Node {
    /// What it refused, unless there is a reason to try it again: it is another program now, it holds nothing, or
    /// the fault was its own.
    fn refused_still(&self, hello: &Hello) -> Option<Refusal> {
        let same = self.row.version == stored(&hello.version) && hello.held.is_some();
        self.refused.filter(|refusal| same && refusal.reason != NackReason::Internal)
    }
}

impl Pending {
    /// What a data plane lacks of `revision` in the history `epoch`; `None` when it holds it.
    pub fn of(row: &data_plane::Model, epoch: Uuid, revision: u64) -> Option<Self> {
        let reaches = |number: Option<u64>| number.is_some_and(|number| number >= revision);
        let holds = row.applied_epoch == Some(epoch) && reaches(row.applied_revision.map(i64::unsigned_abs));
        let error = row.last_error.as_ref();
        let refused = error
            .filter(|error| error["epoch"] == json!(epoch) && reaches(error["revision"].as_u64()))
            .map(|error| error["message"].as_str().unwrap_or_default().to_owned());
        (!holds).then_some(Self { node_id: row.id, refused })
    }
}

impl Membership {
    /// Takes in what the session reports.
    pub(super) fn report(&self, report: &Report) {
        if self.replaced.is_cancelled() {
            // What it says is older than what its successor said.
            return;
        }
        match report {
            Report::Joined(_) => {}
            Report::Heard(held) => self.heard(*held),
            Report::Acked(ack) => self.acked(ack),
            Report::Nacked(nack) => self.nacked(nack),
            Report::Drifted(held) => {
                self.registry.shared.metrics.drifts.inc();
                warn!(
                    node_id = %self.node_id, revision = held.revision, root = %held.root,
                    "a data plane holds something else than this control plane at the same revision; repairing"
                );
            }
        }
    }

    fn heard(&self, held: Position) {
        self.registry.edit(self.node_id, |node| {
            node.row.last_seen = seconds_now();
            hold(&mut node.row, held);
            if node.row.state == "syncing" {
                node.row.state = self.registry.state_of(held).into();
            }
        });
    }

    fn acked(&self, ack: &Ack) {
        let metrics = &self.registry.shared.metrics;
        metrics.acks.inc();
        metrics.apply_duration.observe(Duration::from_micros(ack.decode_us + ack.apply_us).as_secs_f64());
        self.registry.edit(self.node_id, |node| {
            node.refused = None;
            node.row.last_seen = seconds_now();
            node.row.last_error = None;
            node.row.state = self.registry.state_of(ack.held).into();
            hold(&mut node.row, ack.held);
        });
    }

    fn nacked(&self, nack: &Nack) {
        warn!(
            node_id = %self.node_id, revision = nack.revision, reason = nack.reason.as_str(),
            entity = ?nack.id, field = ?nack.field, "a data plane has refused a configuration: {}", nack.message
        );
        self.registry.shared.metrics.nacks.with_label_values(&[nack.reason.as_str()]).inc();
        self.registry.edit(self.node_id, |node| {
            let to = Position { epoch: nack.epoch, revision: nack.revision, ..Position::default() };
            node.refused = Some(Refusal { to, reason: nack.reason });
            node.row.last_seen = seconds_now();
            node.row.state = "rejected".into();
            node.row.last_error = Some(json!({
                "epoch": nack.epoch,
                "revision": nack.revision,
                "reason": nack.reason.as_str(),
                "message": stored(&nack.message),
                "entity": nack.collection.as_deref().map(stored),
                "id": nack.id,
                "field": nack.field.as_deref().map(stored),
                "at": seconds_now(),
            }));
        });
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        info!(node_id = %self.node_id, "data plane disconnected");
        // A session that was replaced must not mark its successor as gone.
        if !self.replaced.is_cancelled() {
            self.registry.edit(self.node_id, |node| {
                node.row.connected = false;
                node.row.state = "disconnected".into();
            });
            self.registry.shared.came_or_went.notify_one();
        }
    }
}

/// Writes all of them; one that the database refuses does not keep the others out.
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
