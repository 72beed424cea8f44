//! The status listener: metrics, status and readiness, for machines that watch.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::{Registry, TextEncoder};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::Position;

use crate::error;
use crate::store::Store;

/// What the status listener shows.
#[derive(Clone, Debug)]
pub struct Status {
    /// The metrics.
    pub registry: Arc<Registry>,
    /// The database.
    pub store: Store,
    /// Where the configuration stands.
    pub head: watch::Receiver<Position>,
    /// Cancelled when the program has been told to stop.
    pub stop: CancellationToken,
}

/// The paths of the status listener.
pub fn router(status: Status) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(show))
        .route("/status/ready", get(ready))
        .with_state(status)
}

async fn metrics(State(status): State<Status>) -> Response {
    match TextEncoder::new().encode_to_string(&status.registry.gather()) {
        Ok(text) => ([("content-type", "text/plain; version=0.0.4")], text).into_response(),
        Err(failure) => {
            tracing::error!(%failure, "cannot encode the metrics");
            error::unexpected()
        }
    }
}

async fn show(State(status): State<Status>) -> Json<serde_json::Value> {
    let head = *status.head.borrow();
    Json(json!({
        "version": crate::VERSION,
        "database": { "reachable": status.store.ping().await.is_ok() },
        "epoch": head.epoch,
        "revision": head.revision,
        "configuration_hash": head.root.config_hash(),
    }))
}

async fn ready(State(status): State<Status>) -> Response {
    let reason = if status.stop.is_cancelled() {
        "draining"
    } else if status.store.ping().await.is_err() {
        "failed to connect to database"
    } else {
        return Json(json!({ "message": "ready" })).into_response();
    };
    error::not_ready(reason)
}
