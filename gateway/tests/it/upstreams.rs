//! What an operator sees of upstreams: the paths of the status listener, and the metrics.

use serde_json::{Value, json};
use testkit::http::{Client, Request};
use testkit::plane::DEADLINE;
use testkit::wait;

use crate::upgrade::{Stage, UPSTREAM};

/// Sends requests until the dead target is out. None fails: each is sent again.
async fn use_both_targets(stage: &Stage) {
    for _ in 0..4 {
        Client::new(stage.proxy.address()).get("/balanced").await.unwrap().expect(200);
    }
}

async fn shown(status: &Client, path: &str) -> Value {
    status.get(path).await.unwrap().expect(200).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_and_their_health_are_shown_as_by_kong() {
    let stage = Stage::start(&[]).await;
    let status = Client::new(stage.status_address());
    use_both_targets(&stage).await;
    let (dead, origin) = (stage.dead.to_string(), stage.origin.address().to_string());

    let all = shown(&status, "/upstreams/balanced/targets").await;
    let texts: Vec<_> = all["data"].as_array().unwrap().iter().map(|target| &target["target"]).collect();
    assert_eq!(texts, [&json!(origin), &json!(dead)]);
    assert_eq!(all["next"], Value::Null);
    assert_eq!(shown(&status, &format!("/upstreams/{UPSTREAM}/targets/all")).await, all);
    let one = shown(&status, &format!("/upstreams/BALANCED/targets/{dead}")).await;
    assert_eq!(one, all["data"][1]);
    assert_eq!((&one["weight"], &one["upstream"]), (&json!(100), &json!({ "id": UPSTREAM })));
    let id = one["id"].as_str().unwrap();
    assert_eq!(shown(&status, &format!("/upstreams/balanced/targets/{id}")).await, one);

    let page = shown(&status, "/upstreams/balanced/health?size=1&offset=1").await;
    let target = &page["data"][0];
    assert_eq!((&target["health"], &target["state"]), (&json!("UNHEALTHY"), &json!("ready")));
    let data = &target["data"];
    assert_eq!((&data["host"], &data["port"]), (&json!("127.0.0.1"), &json!(stage.dead.number())));
    assert_eq!((&data["dns"], &data["nodeWeight"]), (&json!("A"), &json!(100)));
    assert_eq!(data["weight"], json!({ "total": 100, "available": 0, "unavailable": 100 }));
    let address = &data["addresses"][0];
    assert_eq!((&address["ip"], &address["health"]), (&json!("127.0.0.1"), &json!("UNHEALTHY")));
    assert!(address["last_error"].as_str().unwrap().contains("refused"), "{address}");
    assert_eq!(page["node_id"], stage.status().await["sync"]["node_id"]);

    let whole = shown(&status, "/upstreams/balanced/health?balancer_health=1").await["data"].take();
    assert_eq!((&whole["id"], &whole["health"]), (&json!(UPSTREAM), &json!("HEALTHY")));
    assert_eq!(whole["balancer_health"], "HEALTHY");
    assert_eq!(whole["details"]["weight"], json!({ "total": 200, "available": 100, "unavailable": 100 }));
    let hosts = &whole["details"]["hosts"];
    assert_eq!(hosts[0]["addresses"][0]["healthy"], true);
    assert_eq!(hosts[1]["addresses"][0]["healthy"], false);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_and_verbs_are_refused() {
    let stage = Stage::start(&[]).await;
    let status = Client::new(stage.status_address());
    for path in [
        "/upstreams",
        "/upstreams/",
        "/upstreams/none/health",
        "/upstreams/balanced",
        "/upstreams/balanced/targets/none",
        "/upstreams/balanced/targets/%ff",
        "/upstreams/balanced/targets/none/healthy",
    ] {
        let answer = status.get(path).await.unwrap().expect(404);
        assert_eq!(answer.json(), json!({ "message": "Not found" }), "{path}");
    }
    for verb in ["POST", "PUT", "PATCH", "DELETE"] {
        let request = Request::new(verb, "/upstreams/balanced/targets");
        assert_eq!(status.send(&request).await.unwrap().status, 405, "{verb}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_attempts_retries_and_states() {
    let stage = Stage::start(&[]).await;
    let status = Client::new(stage.status_address());
    use_both_targets(&stage).await;
    let (dead, origin) = (stage.dead.to_string(), stage.origin.address().to_string());
    let upstream = "upstream=\"balanced\"";
    let expected = [
        format!("gibbon_upstream_requests_total{{{}}} 4", with(&origin, "outcome", "ok")),
        format!("gibbon_upstream_requests_total{{{}}} 1", with(&dead, "outcome", "connect")),
        format!("gibbon_upstream_target_health{{{}}} 1", with(&origin, "state", "healthy")),
        format!("gibbon_upstream_target_health{{{}}} 1", with(&dead, "state", "unhealthy")),
        format!("gibbon_upstream_requests_in_flight{{{}}} 0", of_address(&origin)),
        format!("gibbon_upstream_retries_total{{{upstream}}} 1"),
        format!("gibbon_upstream_ejections_total{{reason=\"consecutive\",{upstream}}} 0"),
        format!("gibbon_upstream_targets{{{upstream}}} 2"),
        format!("gibbon_upstream_unavailable{{{upstream}}} 0"),
        format!("gibbon_upstream_weight{{{upstream}}} 200"),
        format!("gibbon_upstream_available_weight{{{upstream}}} 100"),
        format!("gibbon_upstream_latency_seconds_count{{{upstream}}} 4"),
        format!("gibbon_upstream_latency_seconds_bucket{{{upstream},le=\"+Inf\"}} 4"),
    ];
    wait::eventually(DEADLINE, || async {
        let text = status.get("/metrics").await.unwrap().expect(200).text();
        let missing = expected.iter().find(|line| !text.lines().any(|found| found == line.as_str()));
        let upstreams =
            || text.lines().filter(|line| line.contains("upstream")).collect::<Vec<_>>().join("\n");
        missing.map_or(Ok(()), |line| Err(format!("no {line}\n{}", upstreams())))
    })
    .await;
    stage.stop().await;
}

fn of_address(address: &str) -> String {
    format!("address=\"{address}\",target=\"{address}\",upstream=\"balanced\"")
}

/// The labels of an address and one more, in the order of their names.
fn with(address: &str, name: &str, value: &str) -> String {
    format!("address=\"{address}\",{name}=\"{value}\",target=\"{address}\",upstream=\"balanced\"")
}
