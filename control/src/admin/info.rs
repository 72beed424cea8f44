//! Information about the control plane: its version, configuration and status.

use std::process;
use std::sync::atomic::Ordering;

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Extension, Json};
use node::http::HttpLimiter;
use prometheus::core::Collector;
use serde_json::{Value, json};

use super::reading::beginning;
use super::{Api, KONG, SharedAdmin, plugins};
use crate::error::ApiError;

/// The units of memory that Kong's `/status` accepts.
const UNITS: [&str; 4] = ["b", "k", "m", "g"];

pub(super) fn routes(api: &mut Api) {
    api.route("/", get(node));
    api.route("/status", get(status));
    api.route("/endpoints", get(endpoints));
}

/// Shows the control plane. While the database does not answer, it shows no plugin of the configuration.
async fn node(State(admin): State<SharedAdmin>) -> Json<Value> {
    let node = &admin.state.node;
    let in_cluster = plugins::in_cluster(&admin.state.store).await.unwrap_or_default();
    Json(json!({
        "version": KONG,
        "edition": "community",
        "gibbon_version": node.version,
        "tagline": "Welcome to Gibbon",
        "hostname": node.hostname,
        "node_id": node.id,
        "plugins": { "available_on_server": plugins::available(), "enabled_in_cluster": in_cluster },
        "configuration": configuration(&admin.state.configuration),
        "pids": { "master": process::id(), "workers": [] },
        "timers": { "running": 0, "pending": 0 },
    }))
}

/// Converts the configuration to the types of Kong's: its clients reject a `database` that is not a string.
/// The settings of the database are under a key that Kong does not have.
fn configuration(own: &Value) -> Value {
    let mut shown = own.clone();
    let settings = own["database"].clone();
    let is_postgres = settings["url"].as_str().is_some_and(|url| !url.starts_with("sqlite:"));
    shown["database"] = json!(if is_postgres { "postgres" } else { "sqlite" });
    shown["database_settings"] = settings;
    shown["router_flavor"] = json!("traditional_compatible");
    shown
}

/// Shows the status in Kong's form, with the connections of all listeners of the Admin API. `unit` is checked as
/// in Kong, though there is no memory of Lua to show in it.
async fn status(
    State(admin): State<SharedAdmin>,
    Extension(limiter): Extension<HttpLimiter>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    check_unit(&query.unwrap_or_default())?;
    let state = &admin.state;
    let head = *state.head.borrow();
    let connections = limiter.connections();
    Ok(Json(json!({
        "server": {
            "connections_accepted": connections.accepted,
            "connections_active": connections.active,
            "connections_handled": connections.handled,
            "connections_reading": 0,
            "connections_writing": admin.in_flight.load(Ordering::Relaxed),
            "connections_waiting": connections.waiting,
            "total_requests": total_requests(&state.metrics.requests),
        },
        "memory": { "workers_lua_vms": [], "lua_shared_dicts": {} },
        "database": { "reachable": state.store.ping().await.is_ok() },
        "configuration_hash": head.root.config_hash(),
    })))
}

/// Rejects a unit of memory that Kong does not have, in Kong's words.
fn check_unit(query: &str) -> Result<(), ApiError> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let is_known = |unit: &str| unit.is_empty() || UNITS.iter().any(|known| unit.eq_ignore_ascii_case(known));
    let unknown = pairs.find(|(name, unit)| name == "unit" && !is_known(unit));
    unknown.map_or(Ok(()), |(_, unit)| Err(ApiError::InvalidUnit(beginning(&unit))))
}

async fn endpoints(State(admin): State<SharedAdmin>) -> Json<Value> {
    Json(json!({ "data": admin.paths, "next": null }))
}

/// Sums the requests of all statuses.
fn total_requests(requests: &prometheus::IntCounterVec) -> u64 {
    let families = requests.collect();
    let series = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
    // A count of requests is exact as floating point.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
    series.map(|metric| metric.get_counter().get_value() as u64).sum()
}
