//! A second process with the node id of a data plane that is connected here, at another control plane of the
//! database.
//!
//! All control planes write the row of a node id. A data plane that has moved leaves a row of its previous
//! control plane behind, and that one does not write it again: it hears nothing more. So a row of another
//! process is a suspicion, and its next change a proof.

use std::collections::HashSet;
use std::time::Duration;

use entity::data_plane::Model;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::row::is_same;
use super::{Registry, seconds_now};
use crate::metrics::rejections;
use crate::store::{Store, StoreError};

/// The second process, as the last row of the other control plane describes it.
#[derive(Debug)]
pub(super) struct Elsewhere {
    row: Model,
    /// How long it counts as present, from `seen`.
    kept: Duration,
    seen: Instant,
    at: i64,
    /// The other control plane has heard from it since it was first seen.
    proven: bool,
}

impl Elsewhere {
    /// Notes a row that another control plane has written, and returns whether it is a new proof.
    pub(super) fn note(known: &mut Option<Self>, row: Model, kept: Duration) -> bool {
        let before = known.take().filter(|before| before.is_fresh() && before.is_of(&row));
        let was_proven = before.as_ref().is_some_and(|before| before.proven);
        let moved = before.as_ref().is_some_and(|before| before.row.last_seen != row.last_seen);
        let seen = match &before {
            // The row stays as it is while this control plane writes nothing.
            Some(before) if !moved => before.seen,
            _ => Instant::now(),
        };
        let proven = was_proven || moved;
        *known = Some(Self { row, kept, seen, at: seconds_now(), proven });
        proven && !was_proven
    }

    /// Whether the process is likely to be there still.
    pub(super) fn is_fresh(&self) -> bool {
        self.seen.elapsed() < self.kept
    }

    /// Returns the error that the Admin API shows; `None` for a suspicion.
    pub(super) fn error(&self) -> Option<Value> {
        (self.proven && self.is_fresh())
            .then(|| json!({ "reason": rejections::IN_USE, "message": self.message(), "at": self.at }))
    }

    fn message(&self) -> String {
        let Model { ip, hostname, control_plane, .. } = &self.row;
        let control_plane = control_plane.unwrap_or_default();
        format!(
            "another process, at {ip} ({hostname}), has the same node id and is connected to control plane \
             {control_plane}"
        )
    }

    fn is_of(&self, row: &Model) -> bool {
        self.row.control_plane == row.control_plane
            && is_same((self.row.instance, &self.row.ip), (row.instance, &row.ip))
    }
}

impl Registry {
    /// Looks for other processes with the ids of these data planes. To be called before their rows are
    /// written, because that replaces the rows of the other control plane.
    pub(super) async fn look_elsewhere(&self, store: &Store, ids: &HashSet<Uuid>) -> Result<(), StoreError> {
        let connected: Vec<Uuid> = {
            let nodes = self.shared.nodes.lock();
            let is_connected = |id: &Uuid| nodes.by_id.get(id).is_some_and(|node| node.row.connected);
            ids.iter().copied().filter(is_connected).collect()
        };
        if connected.is_empty() {
            return Ok(());
        }
        let rows = store.data_planes().elsewhere(self.shared.control_plane, &connected).await?;
        rows.into_iter().for_each(|row| self.note_elsewhere(row));
        Ok(())
    }

    /// Notes the row of another control plane, if it describes another process than the one connected here.
    pub(super) fn note_elsewhere(&self, row: Model) {
        let mut nodes = self.shared.nodes.lock();
        let Some(node) = nodes.by_id.get_mut(&row.id).filter(|node| node.row.connected) else { return };
        if is_same((node.row.instance, &node.row.ip), (row.instance, &row.ip)) {
            return;
        }
        let (node_id, second) = (row.id, row.ip.clone());
        let control_plane = row.control_plane.unwrap_or_default();
        if Elsewhere::note(&mut node.elsewhere, row, self.shared.silence) {
            warn!(
                %node_id, first = node.row.ip, second, %control_plane,
                "two data planes use one node id, the second at another control plane: each needs a state_dir of \
                 its own"
            );
        }
        drop(nodes);
        self.shared.changes.send_modify(|count| *count += 1);
    }
}
