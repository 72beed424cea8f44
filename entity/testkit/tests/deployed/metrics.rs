//! Evaluates every expression of the dashboard and the alerts against a live installation.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testkit::http::Client;
use testkit::wait;

use crate::installation::{DEADLINE, Installation, root};
use crate::prometheus::{Prometheus, tool};

#[tokio::test]
async fn every_expression_has_an_answer_and_every_scrape_is_clean() {
    tell(&Installation::new(), promtool_check).await;
}

#[tokio::test]
async fn every_expression_has_an_answer_beside_the_families_of_kong() {
    // promtool objects to some of Kong's names.
    let kong = |scrape: &str| assert!(scrape.contains("\nkong_node_info{"), "{scrape}");
    tell(&Installation::with_kong_metrics(), kong).await;
}

/// Checks each scrape, and evaluates the expressions.
async fn tell(installation: &Installation, check: impl Fn(&str)) {
    let _running = installation.run().await;
    traffic(installation).await;

    let scrapes =
        [&installation.control_status, &installation.gateway_status].map(|port| Client::new(port.address()));
    let mut exposed = BTreeSet::new();
    for client in &scrapes {
        let text = client.get("/metrics").await.unwrap().text();
        check(&text);
        exposed.extend(gibbon_names(&text));
    }

    let prometheus = Prometheus::start(installation).await;
    let registered = registered();
    for expression in dashboard().iter().chain(&alerts()) {
        let names = gibbon_names(expression);
        let unknown: Vec<_> = names.difference(&exposed).filter(|name| !registered.contains(*name)).collect();
        assert!(unknown.is_empty(), "{expression}: nothing exposes {unknown:?}");
        // A comparison has a result only when something is wrong.
        let expression = without_comparison(expression);
        if names.is_subset(&exposed) {
            wait::eventually(DEADLINE, || prometheus.query(&expression)).await;
        } else {
            // A counter with a label has no series before the first event, such as a rejected configuration.
            prometheus.ask(&expression).await.unwrap();
        }
    }
}

#[test]
fn names_and_comparisons_are_found_in_expressions() {
    let expression = "sum by (le) (rate(gibbon_a_bucket{x=\"gibbon_no\"}[5m])) / gibbon_b - gibbon_c > 0.01";
    let names: BTreeSet<_> = ["gibbon_a_bucket", "gibbon_b", "gibbon_c"].map(String::from).into();
    assert_eq!(gibbon_names(expression), names);
    assert_eq!(without_comparison("a{b=~\"c\"} - time() < 14 * 86400"), "a{b=~\"c\"} - time()");
    assert_eq!(without_comparison("a == 0"), "a");
    assert_eq!(without_comparison("a{b=\"c\"}"), "a{b=\"c\"}");
    assert_eq!(without_comparison("a > 0 unless on (c) b > 0"), "a");
}

/// Sends one request of each kind: served, balanced over targets, without a route, without an upstream; and
/// writes that are rejected.
async fn traffic(installation: &Installation) {
    let admin = installation.admin_client();
    let origin = installation.origin.number();
    assert_eq!(admin.post("/upstreams", &json!({ "name": "targets" })).await.unwrap().status, 201);
    let target = json!({ "target": format!("127.0.0.1:{origin}") });
    assert_eq!(admin.post("/upstreams/targets/targets", &target).await.unwrap().status, 201);
    for (name, host, port) in
        [("live", "127.0.0.1", origin), ("balanced", "targets", 80), ("dead", "127.0.0.1", 1)]
    {
        let service = json!({ "name": name, "host": host, "port": port, "retries": 0 });
        assert_eq!(admin.post("/services", &service).await.unwrap().status, 201);
        let route = json!({ "paths": [format!("/{name}")] });
        assert_eq!(admin.post(&format!("/services/{name}/routes"), &route).await.unwrap().status, 201);
    }
    assert_eq!(admin.post("/services", &json!({})).await.unwrap().status, 400);

    let proxy = installation.proxy_client();
    for (path, status) in [("/live", 200), ("/balanced", 200), ("/dead", 502), ("/none", 404)] {
        wait::eventually(DEADLINE, || async {
            let answer = proxy.get(path).await.map_err(|error| format!("{error:#}"))?.status;
            if answer == status { Ok(()) } else { Err(format!("{path}: {answer}")) }
        })
        .await;
    }
}

/// The names of the metrics that the programs register, whether or not they have a series yet.
fn registered() -> BTreeSet<String> {
    let sources = [
        "gateway/src/metrics.rs",
        "gateway/src/upstream_metrics.rs",
        "control/src/metrics.rs",
        "control/src/metrics/health.rs",
    ];
    let texts = sources.map(|path| fs::read_to_string(root().join(path)).unwrap());
    let strings = texts.iter().flat_map(|text| text.split('"').skip(1).step_by(2));
    strings.filter(|string| string.starts_with("gibbon_")).map(str::to_owned).collect()
}

fn promtool_check(scrape: &str) {
    let mut promtool = Command::new(tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be started; `make tools` installs it");
    promtool.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The expressions of the dashboard, with its variables as a viewer would have them.
fn dashboard() -> Vec<String> {
    let text = fs::read_to_string(root().join("deploy/grafana/gibbon.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<_> = targets
        .map(|target| {
            target["expr"].as_str().unwrap().replace("$__rate_interval", "1m").replace("$instance", ".*")
        })
        .collect();
    assert!(expressions.len() > 40, "{expressions:?}");
    assert!(expressions.iter().all(|expression| !expression.contains('$')), "{expressions:?}");
    expressions
}

/// The expressions of the alerts, as Prometheus reads them from the file.
fn alerts() -> Vec<String> {
    let text = fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).unwrap();
    let mut expressions = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(expression) = line.trim().strip_prefix("expr: ") else { continue };
        if expression != ">-" {
            expressions.push(expression.to_owned());
            continue;
        }
        let indent = |line: &str| line.len() - line.trim_start().len();
        let outer = indent(line);
        let mut folded = Vec::new();
        while let Some(inner) = lines.next_if(|inner| indent(inner) > outer) {
            folded.push(inner.trim());
        }
        expressions.push(folded.join(" "));
    }
    assert_eq!(expressions.len(), text.matches("- alert:").count());
    expressions
}

/// The names of metrics and series, without those inside quotes.
fn gibbon_names(text: &str) -> BTreeSet<String> {
    let unquoted = text.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = unquoted.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("gibbon_")).map(str::to_owned).collect()
}

/// The left side of a comparison; the first operand of `unless`.
fn without_comparison(expression: &str) -> String {
    let expression = expression.split(" unless ").next().unwrap_or_default();
    let comparison = [" > ", " < ", " == "].iter().filter_map(|operator| expression.rfind(operator)).max();
    expression[..comparison.unwrap_or(expression.len())].to_owned()
}
