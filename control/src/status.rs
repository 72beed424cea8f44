//! The status listener: metrics, status and readiness, for monitoring.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use node::http::{Handler, Peer, RequestBody, without_redundant_slashes};
use node::tokens::{Tokens, sent};
use prometheus::{IntCounterVec, Registry, TextEncoder};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_service::Service;
use wire::Position;

use crate::error;
use crate::store::{Store, StoreError};

/// The state that the status listener shows.
#[derive(Clone, Debug)]
pub struct Status {
    /// The metrics.
    pub registry: Arc<Registry>,
    /// The database.
    pub store: Store,
    /// The published position.
    pub head: watch::Receiver<Position>,
    /// Cancelled when the program has received a signal to stop.
    pub stop: CancellationToken,
}

/// Reasons for rejecting a request, as labels of a metric.
pub(crate) const REASONS: [&str; 1] = [TOKEN];
const TOKEN: &str = "token";

/// The path that needs no token: load balancers read it, and it shows nothing else.
const READY: &str = "/status/ready";

/// Checks tokens in front of the router.
#[derive(Clone, Debug)]
pub struct Front {
    /// The paths.
    pub router: Router,
    /// The accepted tokens; `None` if no token is needed.
    pub tokens: Option<watch::Receiver<Arc<Tokens>>>,
    /// Counts rejected requests.
    pub refused: IntCounterVec,
}

impl Handler for Front {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, _: Arc<Peer>) -> Response {
        let request = without_slashes(request);
        let may = match &self.tokens {
            Some(tokens) if request.uri().path() != READY => {
                let token = sent(request.headers()).ok().flatten();
                token.is_some_and(|token| tokens.borrow().find(token).is_some())
            }
            _ => true,
        };
        if !may {
            self.refused.with_label_values(&[TOKEN]).inc();
            return unauthorized();
        }
        let Ok(response) = self.router.clone().call(request.map(Body::new)).await;
        response
    }
}

/// Drops redundant slashes of the path, as the Admin API does.
fn without_slashes<B>(mut request: Request<B>) -> Request<B> {
    // No path of this listener reads the query.
    if let Cow::Owned(path) = without_redundant_slashes(request.uri().path())
        && let Ok(path) = path.parse()
    {
        *request.uri_mut() = path;
    }
    request
}

fn unauthorized() -> Response {
    let text = Json(json!({ "message": "A token of status.tokens is needed, as Authorization: Bearer" }));
    let challenge = HeaderValue::from_static("Bearer realm=\"gibbon\"");
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], text).into_response()
}

/// Builds the router of the status listener.
pub fn router(status: Status) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(show))
        .route(READY, get(ready))
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
    } else {
        match status.store.ping().await {
            Ok(()) => return Json(json!({ "message": "ready" })).into_response(),
            Err(StoreError::FileGone(reason)) => return error::not_ready(&reason),
            Err(_) => "failed to connect to database",
        }
    };
    error::not_ready(reason)
}
