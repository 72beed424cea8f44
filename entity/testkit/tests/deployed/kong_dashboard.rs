//! Kong's families of metrics in a live installation: their names, types and labels, and the expressions of Kong's
//! official dashboard (number 7424).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use testkit::http::Client;
use testkit::wait;

use crate::installation::{DEADLINE, Installation};
use crate::prometheus::Prometheus;

#[tokio::test]
async fn every_expression_of_the_dashboard_has_an_answer() {
    let installation = Installation::with_kong_metrics();
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

/// The families of a data plane without the plugin, those that the plugin adds, and those of a control plane. Each
/// has its type and labels; `le` is of a bucket.
const NODE: [&str; 11] = [
    "gauge kong_nginx_connections_total node_id subsystem state",
    "gauge kong_nginx_requests_total node_id subsystem",
    "gauge kong_nginx_timers state",
    "gauge kong_datastore_reachable",
    "gauge kong_node_info node_id version",
    "counter kong_nginx_metric_errors_total",
    "gauge kong_memory_lua_shared_dict_bytes node_id shared_dict kong_subsystem",
    "gauge kong_memory_lua_shared_dict_total_bytes node_id shared_dict kong_subsystem",
    "gauge kong_memory_workers_lua_vms_bytes node_id pid kong_subsystem",
    "gauge kong_control_plane_connected",
    "gauge kong_data_plane_cluster_cert_expiry_timestamp",
];
const PLUGIN: [&str; 6] = [
    "counter kong_http_requests_total service route code source workspace consumer",
    "histogram kong_kong_latency_ms service route workspace le",
    "histogram kong_upstream_latency_ms service route workspace le",
    "histogram kong_request_latency_ms service route workspace le",
    "counter kong_bandwidth_bytes service route direction workspace consumer",
    "gauge kong_upstream_target_health upstream target address state subsystem",
];
const CONTROL: [&str; 5] = [
    "gauge kong_data_plane_last_seen node_id hostname ip",
    "gauge kong_data_plane_config_hash node_id hostname ip",
    "gauge kong_data_plane_version_compatible node_id hostname ip kong_version",
    "gauge kong_datastore_reachable",
    "gauge kong_node_info node_id version",
];

#[tokio::test]
async fn families_have_the_names_types_and_labels_of_kong() {
    let installation = Installation::with_kong_metrics();
    let _running = installation.run().await;
    let data_plane = Client::new(installation.gateway_status.address());
    let scrape = async |client: &Client| client.get("/metrics").await.unwrap().expect(200);
    let answer = scrape(&data_plane).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(families(&answer.text()), declared(&NODE));
    traffic(&installation).await;
    assert_eq!(families(&scrape(&data_plane).await.text()), declared(&[&NODE[..], &PLUGIN].concat()));
    let control = scrape(&Client::new(installation.control_status.address())).await;
    assert_eq!(families(&control.text()), declared(&CONTROL));

    let prometheus = Prometheus::start(&installation).await;
    for family in [&NODE[..], &PLUGIN, &CONTROL].concat() {
        let (of_type, rest) = family.split_once(' ').unwrap();
        let (name, labels) = rest.split_once(' ').unwrap_or((rest, ""));
        let series = if of_type == "histogram" { format!("{name}_bucket") } else { name.to_owned() };
        let found = prometheus.query(&series).await.unwrap();
        let has = |label: &str| found.iter().any(|one| one["metric"][label].is_string());
        // An empty label is none to Prometheus: no request has a consumer.
        let labels = labels.split_whitespace().filter(|label| *label != "consumer");
        labels.for_each(|label| assert!(has(label), "{family}: no {label} in {found:?}"));
    }
}

/// A family: its type and its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn declared(families: &[&str]) -> Families {
    let family = |text: &&str| {
        let mut words = text.split(' ').map(str::to_owned);
        let (of_type, name) = (words.next().unwrap(), words.next().unwrap());
        (name, (of_type, words.collect()))
    };
    families.iter().map(family).collect()
}

/// The families of Kong in a scrape. The names and types of families precede their series.
fn families(scrape: &str) -> Families {
    let mut found = Families::new();
    for line in scrape.lines() {
        if let Some(family) = line.strip_prefix("# TYPE kong_") {
            let (name, of_type) = family.split_once(' ').unwrap();
            found.insert(format!("kong_{name}"), (of_type.to_owned(), BTreeSet::new()));
            continue;
        }
        let Some((series, labels)) = line.split_once('{').filter(|_| line.starts_with("kong_")) else {
            continue;
        };
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
        let name = name.filter(|name| found.contains_key(*name)).unwrap_or(series);
        // A label follows a brace or a comma, and precedes an equals sign and a quote.
        let labels = labels.split("=\"").filter_map(|part| part.rsplit([',', '{']).next());
        let labels = labels.filter(|label| !label.is_empty() && !label.contains('}')).map(str::to_owned);
        found.get_mut(name).unwrap_or_else(|| panic!("no type: {line}")).1.extend(labels);
    }
    found
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
