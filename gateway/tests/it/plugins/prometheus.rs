//! prometheus: requests in Kong's families of metrics.

use std::sync::Arc;

use gateway::status::{KongCollector, NodeParts};
use serde_json::{Value, json};

use super::Plugged;

/// A gateway with the plugin, whose metrics have Kong's families.
fn start(config: &Value) -> Plugged {
    let plugged = Plugged::start(&[plugin(config)]);
    let shared = &plugged.gateway.shared;
    let node = NodeParts {
        metrics: shared.metrics.clone(),
        sync: Arc::default(),
        balancing: shared.balancing.clone(),
        answers: shared.plugins.answers.clone(),
    };
    let collector = KongCollector::new(shared.plugins.kong.clone(), node, false).unwrap();
    plugged.gateway.registry.register(Box::new(collector)).unwrap();
    plugged
}

fn plugin(config: &Value) -> Value {
    json!({ "name": "prometheus", "config": config })
}

fn scrape(plugged: &Plugged) -> String {
    prometheus::TextEncoder::new().encode_to_string(&plugged.gateway.registry.gather()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn families_about_the_node_are_shown_once_an_instance_is_at_work() {
    let plugged = start(&json!({}));
    assert!(!scrape(&plugged).contains("kong_"));
    plugged.get("/").await.expect(200);
    let node = "node_id=\"00000000-0000-0000-0000-000000000000\"";
    plugged.gateway.wait_metric(&format!("kong_nginx_requests_total{{{node},subsystem=\"http\"}}"), 1.0).await;
    let text = scrape(&plugged);
    for line in [
        format!("kong_nginx_connections_total{{{node},subsystem=\"http\",state=\"active\"}} 1"),
        format!("kong_node_info{{{node},version=\"{}\"}} 1", gateway::VERSION),
        "kong_datastore_reachable 1".to_owned(),
        "kong_control_plane_connected 0".to_owned(),
        "kong_nginx_metric_errors_total 0".to_owned(),
    ] {
        assert!(text.lines().any(|held| held == line), "{line}\n{text}");
    }
    assert!(text.contains("kong_memory_workers_lua_vms_bytes{"), "{text}");
    assert!(!text.contains("kong_http_requests_total") && !text.contains("kong_upstream_target_health"));
}
