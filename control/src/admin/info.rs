//! Information about the control plane: its version, configuration and status.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use prometheus::core::Collector;
use serde_json::{Value, json};

use super::{Api, KONG, SharedAdmin, plugins};

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
        "configuration": admin.state.configuration,
    }))
}

/// Shows the status in Kong's form. Of Kong's connection counters, only the requests in progress are counted.
async fn status(State(admin): State<SharedAdmin>) -> Json<Value> {
    let state = &admin.state;
    let head = *state.head.borrow();
    Json(json!({
        "server": {
            "connections_accepted": 0,
            "connections_active": 0,
            "connections_handled": 0,
            "connections_reading": 0,
            "connections_writing": admin.in_flight.load(Ordering::Relaxed),
            "connections_waiting": 0,
            "total_requests": total_requests(&state.metrics.requests),
        },
        "memory": { "workers_lua_vms": [], "lua_shared_dicts": {} },
        "database": { "reachable": state.store.ping().await.is_ok() },
        "configuration_hash": head.root.config_hash(),
    }))
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
