//! Data planes: which ones the cluster knows, what each holds and rejected, and the position that all should
//! reach.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use entity::data_plane::Model;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wire::Position;

use super::page::Listing;
use super::{Admin, Api, PathParam, SharedAdmin};
use crate::cluster::{self, TargetCounts};
use crate::error::ApiError;
use crate::store;

pub(super) fn routes(api: &mut Api) {
    api.route("/clustering/status", get(status));
    api.route("/clustering/config", get(expected));
    api.route("/clustering/guard/confirm", post(confirm));
    api.route("/clustering/data-planes", get(list));
    api.route("/clustering/data-planes/{data_planes}", get(show).delete(forget));
}

/// The older form of the list, which tools still request.
async fn status(State(admin): State<SharedAdmin>) -> Result<Response, ApiError> {
    let by_id: Map<String, Value> = (rows(&admin).await?.into_values())
        .map(|row| {
            let shown = json!({
                "config_hash": row.config_hash,
                "hostname": row.hostname,
                "ip": row.ip,
                "last_seen": row.last_seen,
            });
            (row.id.to_string(), shown)
        })
        .collect();
    Ok(([("deprecation", "true")], Json(by_id)).into_response())
}

/// Shows the position that every data plane should reach, and whether the guard holds it back.
async fn expected(State(admin): State<SharedAdmin>) -> Json<Value> {
    let head = *admin.state.head.borrow();
    let held_back = admin.state.publisher.held_back();
    Json(json!({
        "epoch": head.epoch,
        "revision": head.revision,
        "config_hash": head.root.config_hash(),
        "held_back": held_back.map(|held_back| held_back.reason),
    }))
}

/// Confirms the configuration that the guard holds back. If it holds nothing back, the confirmation counts
/// later.
async fn confirm(State(admin): State<SharedAdmin>) -> Result<Json<Value>, ApiError> {
    let epoch = admin.state.publisher.confirm().await?;
    Ok(Json(json!({ "confirmed_epoch": epoch })))
}

async fn list(State(admin): State<SharedAdmin>, listing: Listing) -> Result<Json<Value>, ApiError> {
    let page = listing.page()?;
    let rows = rows(&admin).await?;
    // After the rows: no data plane may seem to be ahead of the head.
    let head = *admin.state.head.borrow();
    let mut left = rows.values().filter(|row| page.after.is_none_or(|after| row.id > after)).peekable();
    let size = usize::try_from(page.size).unwrap_or(usize::MAX);
    let shown: Vec<&Model> = left.by_ref().take(size).collect();
    let next = shown.last().filter(|_| left.peek().is_some()).map(|row| &row.id.as_bytes()[..]);
    let held_back = admin.state.publisher.held_back().is_some();
    let view = |row: &&Model| view(&admin, row, head, held_back);
    Ok(listing.answer(shown.iter().map(view).collect(), next))
}

async fn show(
    State(admin): State<SharedAdmin>,
    PathParam(id): PathParam<Uuid>,
) -> Result<Json<Value>, ApiError> {
    let row = rows(&admin).await?.remove(&id).ok_or(ApiError::NotFound)?;
    let head = *admin.state.head.borrow();
    Ok(Json(view(&admin, &row, head, admin.state.publisher.held_back().is_some())))
}

/// Forgets a data plane. A connected one loses its connection, and appears again when it reconnects.
async fn forget(
    State(admin): State<SharedAdmin>,
    PathParam(id): PathParam<Uuid>,
) -> Result<StatusCode, ApiError> {
    admin.state.registry.forget(id, &admin.state.store).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the data planes by id: the rows of the database, updated with what this control plane knows
/// better.
async fn rows(admin: &SharedAdmin) -> Result<BTreeMap<Uuid, Model>, ApiError> {
    let stored = admin.state.store.data_planes().list().await?.into_iter().map(|row| believed(admin, row));
    let mut rows: BTreeMap<Uuid, Model> = stored.map(|row| (row.id, row)).collect();
    for row in admin.state.registry.rows() {
        let stored = rows.get(&row.id);
        // A data plane that is gone from here may have joined another control plane, or been forgotten there.
        if row.connected || stored.is_some_and(|stored| stored.control_plane == row.control_plane) {
            rows.insert(row.id, row);
        }
    }
    Ok(rows)
}

/// Returns the data planes that are connected to other control planes.
pub(super) async fn elsewhere(admin: &Admin) -> Result<Vec<Model>, ApiError> {
    let stored = admin.state.store.data_planes().connected_elsewhere(admin.state.node.id).await?;
    Ok(stored.into_iter().map(|row| believed(admin, row)).filter(|row| row.connected).collect())
}

/// Corrects a row of another control plane, which may have ended without a word. A row that it has not
/// written for two heartbeats is not connected there any more.
fn believed(admin: &Admin, row: Model) -> Model {
    let elsewhere = row.control_plane != Some(admin.state.node.id);
    if elsewhere && row.connected && !admin.state.registry.is_moving(&row) {
        return Model { connected: false, state: "disconnected".to_owned(), ..row };
    }
    row
}

fn view(admin: &Admin, row: &Model, head: Position, held_back: bool) -> Value {
    let revision = i64::try_from(head.revision).unwrap_or(i64::MAX);
    // A revision of another epoch is nowhere on the way to the head.
    let applied = row.applied_revision.filter(|_| row.applied_epoch == Some(head.epoch));
    let ttl = (row.last_seen + cluster::KEPT - store::now()).max(0);
    json!({
        "id": row.id,
        "ip": row.ip,
        "hostname": row.hostname,
        "version": row.version,
        "config_hash": row.config_hash,
        "last_seen": row.last_seen,
        "updated_at": row.updated_at,
        "sync_status": row.sync_status,
        "labels": row.labels,
        "cert_details": { "expiry_timestamp": row.cert_expiry },
        "rpc_capabilities": [],
        "ttl": ttl,
        "connected": row.connected,
        "state": row.state,
        "applied_revision": row.applied_revision,
        "held_back": held_back && row.applied_epoch != Some(head.epoch),
        "lag": applied.map(|applied| (revision - applied).max(0)),
        "last_error": row.last_error,
        "control_plane": row.control_plane,
        "targets": admin.state.registry.health().counts(row.id).map(targets),
    })
}

/// Shows the targets of a data plane in numbers.
fn targets(counts: TargetCounts) -> Value {
    let TargetCounts { targets, unhealthy, dns_error, reported_at } = counts;
    json!({ "total": targets, "unhealthy": unhealthy, "dns_error": dns_error, "reported_at": reported_at })
}
