//! Evaluates the expressions of Kong's official dashboard (number 7424) against a live installation with the
//! plugin `prometheus`.

use serde_json::json;
use testkit::http::Client;
use testkit::wait;

use crate::installation::{DEADLINE, Installation};
use crate::prometheus::Prometheus;

#[tokio::test]
async fn every_expression_of_the_dashboard_has_an_answer() {
    let installation = Installation::new();
    let _running = installation.run().await;
    traffic(&installation).await;
    let prometheus = Prometheus::start(&installation).await;
    let proxy = installation.proxy_client();
    for expression in expressions() {
        let expression = expression.replace("$instance", ".*").replace("$service", ".*");
        let expression = expression.replace("$route", ".*").replace("$upstream", ".*");
        // A rate needs requests between two scrapes.
        wait::eventually(DEADLINE, || async {
            proxy.get("/live").await.map_err(|error| format!("{error:#}"))?;
            prometheus.query(&expression).await
        })
        .await;
    }
    for (metric, label) in [
        ("kong_http_requests_total", "service"),
        ("kong_http_requests_total", "route"),
        ("kong_nginx_connections_total", "instance"),
        ("kong_upstream_target_health", "upstream"),
    ] {
        let named =
            prometheus.query(&format!("count by ({label}) ({metric}{{{label}!=\"\"}})")).await.unwrap();
        assert!(!named.is_empty(), "{metric} {label}");
    }
}

/// Sends requests to a service with and without an upstream, with every family switched on.
async fn traffic(installation: &Installation) {
    let admin = installation.admin_client();
    let origin = installation.origin.number();
    let created = async |path: &str, body| {
        let answer = admin.post(path, &body).await.unwrap();
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
    };
    created("/upstreams", json!({ "name": "targets" })).await;
    created("/upstreams/targets/targets", json!({ "target": format!("127.0.0.1:{origin}") })).await;
    for (name, host, port) in [("live", "127.0.0.1", origin), ("balanced", "targets", 80)] {
        created("/services", json!({ "name": name, "host": host, "port": port })).await;
        created(&format!("/services/{name}/routes"), json!({ "name": name, "paths": [format!("/{name}")] }))
            .await;
    }
    let families = json!({
        "per_consumer": true, "status_code_metrics": true, "latency_metrics": true,
        "bandwidth_metrics": true, "upstream_health_metrics": true,
    });
    created("/plugins", json!({ "name": "prometheus", "config": families })).await;
    let (proxy, status) = (installation.proxy_client(), Client::new(installation.gateway_status.address()));
    wait::eventually(DEADLINE, || async {
        for path in ["/live", "/balanced"] {
            proxy.get(path).await.map_err(|error| format!("{error:#}"))?;
        }
        let scrape = status.get("/metrics").await.map_err(|error| format!("{error:#}"))?.text();
        let is_there = scrape.contains("kong_http_requests_total{service=\"balanced\"");
        if is_there { Ok(()) } else { Err("not counted".to_owned()) }
    })
    .await;
}

/// The expressions, with the dashboard's variables.
fn expressions() -> Vec<String> {
    let mut all = vec![
        "(kong_memory_lua_shared_dict_bytes{instance=~\"$instance\",shared_dict!~\"kong_process_events\"}\
         /kong_memory_lua_shared_dict_total_bytes{instance=~\"$instance\",shared_dict!~\"kong_process_events\"})*100"
            .to_owned(),
        "kong_memory_workers_lua_vms_bytes{instance=~\"$instance\"}".to_owned(),
        "sum(kong_nginx_connections_total{state=~\"active|reading|writing|waiting\", instance=~\"$instance\"}) by (state)"
            .to_owned(),
        "sum(rate(kong_http_requests_total{instance=~\"$instance\"}[1m]))".to_owned(),
        "sum(irate(kong_bandwidth_bytes{instance=~\"$instance\"}[1m])) by (type)".to_owned(),
        "sum(irate(kong_bandwidth_bytes{direction=\"ingress\", service =~\"$service\"}[1m])) by (service)".to_owned(),
        "sum(kong_upstream_target_health{state=\"healthy\",upstream=~\"$upstream\"}) by (upstream,target,address) * -1 \
         + sum(kong_upstream_target_health{state=~\"(unhealthy|dns_error)\",upstream=~\"$upstream\"}) \
         by (upstream,target,address)"
            .to_owned(),
        "sum(label_replace(label_replace(label_replace(kong_upstream_target_health{upstream=~\"$upstream\"}, \
         \"state_value\", \"1\", \"state\", \"healthy\"), \"state_value\", \"0\", \"state\", \"healthchecks_off\"), \
         \"state_value\", \"-1\", \"state\", \"(dns_error|unhealthy)\")) \
         by (upstream, target, address, state, state_value) > 0"
            .to_owned(),
    ];
    all.extend(["total", "handled", "accepted"].map(|state| {
        format!("sum(kong_nginx_connections_total{{state=\"{state}\", instance=~\"$instance\"}})")
    }));
    let chosen = "service=~\"$service\", route=~\"$route\", instance=~\"$instance\"";
    all.extend(
        ["service", "route", "service,code", "route,code"]
            .map(|by| format!("sum(rate(kong_http_requests_total{{{chosen}}}[1m])) by ({by})")),
    );
    all.extend(["service", "route"].map(|by| {
        format!("sum(irate(kong_bandwidth_bytes{{direction=\"egress\", {chosen}}}[1m])) by ({by})")
    }));
    for family in ["kong", "request", "upstream"] {
        for quantile in ["0.90", "0.95", "0.99"] {
            for by in ["le", "service,le", "route,le"] {
                all.push(format!(
                    "histogram_quantile({quantile}, sum(rate(kong_{family}_latency_ms_bucket{{{chosen}}}[1m])) by ({by}))"
                ));
            }
        }
    }
    all
}
