//! prometheus: requests in Kong's families of metrics.

use std::sync::Arc;
use std::time::Duration;

use gateway::status::{KongCollector, NodeParts};
use serde_json::{Value, json};
use testkit::http::Request;
use testkit::origin::Answer;

use super::Plugged;

/// Adds Kong's families to the metrics of the gateway.
pub(crate) fn show_families(plugged: &Plugged) {
    let shared = &plugged.gateway.shared;
    let node = NodeParts {
        metrics: shared.metrics.clone(),
        sync: Arc::default(),
        balancing: shared.balancing.clone(),
        answers: shared.plugins.answers.clone(),
    };
    let collector = KongCollector::new(shared.plugins.kong.clone(), node, false).unwrap();
    plugged.gateway.registry.register(Box::new(collector)).unwrap();
}

/// A gateway with the plugin, whose metrics have Kong's families.
fn start(config: &Value) -> Plugged {
    let plugged = Plugged::start(&[plugin(config)]);
    show_families(&plugged);
    plugged
}

fn plugin(config: &Value) -> Value {
    json!({ "name": "prometheus", "config": config })
}

fn scrape(plugged: &Plugged) -> String {
    prometheus::TextEncoder::new().encode_to_string(&plugged.gateway.registry.gather()).unwrap()
}

fn requests(code: &str, source: &str) -> String {
    let route = crate::support::route(1, "/").id;
    format!(
        "kong_http_requests_total{{service=\"127.0.0.1\",route=\"{route}\",code=\"{code}\",source=\"{source}\",\
         workspace=\"default\",consumer=\"\"}}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn families_about_the_node_are_shown_once_an_instance_is_at_work() {
    let plugged = start(&json!({}));
    assert!(!scrape(&plugged).contains("kong_"));
    plugged.get("/").await.expect(200);
    let node = "node_id=\"00000000-0000-0000-0000-000000000000\"";
    plugged
        .gateway
        .wait_metric(&format!("kong_nginx_requests_total{{{node},subsystem=\"http\"}}"), 1.0)
        .await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_in_the_families_that_are_switched_on() {
    let plugged = start(&json!({ "status_code_metrics": true }));
    plugged.get("/").await.expect(200);
    plugged.gateway.wait_metric(&requests("200", "service"), 1.0).await;
    plugged.origin.answer(Answer::status(404));
    plugged.send(&Request::new("POST", "/").body("12345")).await.expect(404);
    plugged.gateway.wait_metric(&requests("404", "service"), 1.0).await;
    let text = scrape(&plugged);
    for absent in ["kong_bandwidth_bytes", "kong_kong_latency_ms", "kong_upstream_target_health"] {
        assert!(!text.contains(absent), "{absent}");
    }
    let all = json!({ "status_code_metrics": true, "latency_metrics": true, "bandwidth_metrics": true });
    plugged.put_plugins(&[plugin(&all)]);
    plugged.origin.answer(Answer::status(200).size(1000));
    plugged.send(&Request::new("POST", "/").body("12345")).await.expect(200);
    plugged.gateway.wait_metric(&requests("200", "service"), 2.0).await;
    let route = crate::support::route(1, "/").id;
    let pair = format!("service=\"127.0.0.1\",route=\"{route}\"");
    let bytes = |direction: &str| {
        let rest = format!("direction=\"{direction}\",workspace=\"default\",consumer=\"\"");
        plugged.gateway.metric(&format!("kong_bandwidth_bytes{{{pair},{rest}}}"))
    };
    assert!(bytes("ingress") >= 5.0 && bytes("ingress") < 1000.0, "{}", bytes("ingress"));
    assert!(bytes("egress") > 1000.0, "{}", bytes("egress"));
    for family in ["kong", "upstream", "request"] {
        let count = format!("kong_{family}_latency_ms_count{{{pair},workspace=\"default\"}}");
        assert_eq!(plugged.gateway.metric(&count), 1.0, "{family}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kongs_own_latency_has_the_time_in_which_the_body_comes() {
    let plugged = start(&json!({ "latency_metrics": true }));
    plugged.origin.answer(Answer::status(200).body("abc").slow(1, Duration::from_millis(100)));
    plugged.get("/").await.expect(200);
    let route = crate::support::route(1, "/").id;
    let labels = format!("{{service=\"127.0.0.1\",route=\"{route}\",workspace=\"default\"}}");
    plugged.gateway.wait_metric(&format!("kong_kong_latency_ms_count{labels}"), 1.0).await;
    let sum = plugged.gateway.metric(&format!("kong_kong_latency_ms_sum{labels}"));
    assert!(sum >= 150.0, "{sum}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_the_gateway_count_and_requests_without_a_route_do_not() {
    let mut plugged = start(&json!({ "status_code_metrics": true }));
    plugged.origin.stop();
    plugged.get("/").await.expect(502);
    plugged.gateway.wait_metric(&requests("502", "kong"), 1.0).await;
    let host = Request::new("GET", "/").header("Host", "%");
    assert!(plugged.send(&host).await.status >= 400);
    let text = scrape(&plugged);
    assert_eq!(text.matches("\nkong_http_requests_total{").count(), 1, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_of_targets_is_shown_where_it_is_switched_on() {
    let plugged = start(&json!({ "upstream_health_metrics": true }));
    let upstream = super::entity(model::kind::UPSTREAM, uuid::Uuid::from_u128(7), &json!({ "name": "u" }));
    let target = json!({ "upstream": { "id": uuid::Uuid::from_u128(7) }, "target": "192.0.2.1:80" });
    plugged.put([upstream, super::entity(model::kind::TARGET, uuid::Uuid::from_u128(8), &target)]);
    plugged.get("/").await.expect(200);
    let series = |state: &str| {
        format!(
            "kong_upstream_target_health{{upstream=\"u\",target=\"192.0.2.1:80\",address=\"192.0.2.1:80\",\
             state=\"{state}\",subsystem=\"http\"}}"
        )
    };
    plugged.gateway.wait_metric(&series("healthchecks_off"), 1.0).await;
    assert!(scrape(&plugged).contains(&format!("{} 0", series("healthy"))));
}
