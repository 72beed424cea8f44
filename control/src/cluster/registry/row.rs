//! Builds the row of a data plane from its hello.

use entity::data_plane;
use node::link::Peer;
use node::text::one_line;
use serde_json::json;
use uuid::Uuid;
use wire::{Hello, Position};

use super::seconds_now;

/// Labels of a data plane that are stored.
const MAX_LABELS: usize = 64;

/// Builds the row of a data plane that has just sent its hello.
pub(super) fn row(control_plane: Uuid, hello: &Hello, peer: &Peer) -> data_plane::Model {
    let now = seconds_now();
    let mut row = data_plane::Model {
        id: hello.node_id,
        hostname: stored(&hello.hostname),
        ip: peer.address.ip().to_string(),
        version: stored(&hello.version),
        config_hash: "0".repeat(32),
        applied_revision: None,
        applied_epoch: None,
        state: "syncing".into(),
        sync_status: "normal".into(),
        labels: hello
            .labels
            .iter()
            .take(MAX_LABELS)
            .map(|(name, value)| (stored(name), json!(stored(value))))
            .collect(),
        cert_expiry: Some(peer.certificate.not_after),
        last_error: None,
        connected: true,
        control_plane: Some(control_plane),
        instance: hello.instance,
        last_seen: now,
        created_at: now,
        updated_at: now,
    };
    hold(&mut row, hello.held.unwrap_or_default());
    row
}

/// Records the position that a data plane holds; a nil epoch means that it holds nothing.
pub(super) fn hold(row: &mut data_plane::Model, held: Position) {
    row.config_hash = held.root.config_hash();
    let holds = !held.epoch.is_nil();
    row.applied_revision = holds.then(|| i64::try_from(held.revision).unwrap_or(i64::MAX));
    row.applied_epoch = holds.then_some(held.epoch);
}

/// Cleans a text of a data plane for log, Admin API and database: one line, without NUL, which PostgreSQL
/// does not store.
pub(super) fn stored(text: &str) -> String {
    one_line(text)
}

/// Whether two processes, as instance id and address, are one. A process without an instance id is identified
/// by its address.
pub(super) fn is_same(one: (Option<Uuid>, &str), other: (Option<Uuid>, &str)) -> bool {
    match (one.0, other.0) {
        (Some(one), Some(other)) => one == other,
        _ => one.1 == other.1,
    }
}
