//! Information about the control plane, and the headers that all answers share.

use serde_json::json;
use testkit::http::Request;
use testkit::plane::Database;

use super::{Admin, on_both_databases};

on_both_databases!(about_the_node, common_headers, paths_and_methods_that_are_not_there, clustering);

async fn about_the_node(admin: &Admin) {
    let node = admin.get("/").await.expect(200).json();
    assert_eq!(node["version"], "3.9.1");
    assert_eq!(node["gibbon_version"], env!("CARGO_PKG_VERSION"));
    assert!(node["configuration"].is_object() && node["node_id"].as_str().is_some_and(|id| id.len() == 36));
    let status = admin.get("/status").await.expect(200).json();
    assert_eq!(status["database"], json!({ "reachable": true }));
    assert!(status["server"]["total_requests"].as_u64().unwrap() >= 1, "{status}");
    let endpoints = admin.get("/endpoints").await.expect(200).json();
    let paths = endpoints["data"].as_array().unwrap();
    assert!(paths.contains(&json!("/services/{services}/routes/{routes}")), "{endpoints}");
}

async fn common_headers(admin: &Admin) {
    for (method, target, status) in
        [("GET", "/services", 200), ("GET", "/nowhere", 404), ("OPTIONS", "/routes", 204)]
    {
        let answer = admin.client.send(&Request::new(method, target)).await.unwrap().expect(status);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("server"), Some(concat!("gibbon/", env!("CARGO_PKG_VERSION"))));
        answer.header("x-kong-admin-latency").unwrap().parse::<u64>().unwrap();
    }
    let options = admin.client.send(&Request::new("OPTIONS", "/services")).await.unwrap().expect(204);
    let allow = options.header("allow").unwrap();
    assert!(["GET", "HEAD", "POST"].iter().all(|method| allow.contains(method)), "{allow}");
    assert_eq!(options.header("access-control-allow-methods"), None);
}

async fn paths_and_methods_that_are_not_there(admin: &Admin) {
    for target in ["/nowhere", "/services/a/b", "/services/%00", "/services/%ff", "/mtls-auths", "/plugins/x"]
    {
        let answer = admin.get(target).await.expect(404);
        assert_eq!(answer.json(), json!({ "message": "Not found" }), "{target}");
    }
    for (method, target) in [
        ("DELETE", "/services"),
        ("PATCH", "/services"),
        ("POST", "/services/a"),
        ("PUT", "/tags"),
        ("POST", "/clustering/status"),
    ] {
        let request = Request::new(method, target).json(&json!({}));
        let answer = admin.client.send(&request).await.unwrap().expect(405);
        assert_eq!(answer.json(), json!({ "message": "Method not allowed" }), "{method} {target}");
    }
    for target in ["/plugins", "/consumers"] {
        assert_eq!(admin.get(target).await.expect(200).json(), json!({ "data": [], "next": null }));
    }
}

async fn clustering(admin: &Admin) {
    let config = admin.get("/clustering/config").await.expect(200).json();
    assert_eq!(config["revision"], 0);
    assert_eq!(config["config_hash"].as_str().map(str::len), Some(32));
    let status = admin.get("/clustering/status").await.expect(200);
    assert_eq!(status.header("deprecation"), Some("true"));
    assert_eq!(status.json(), json!({}));
    assert_eq!(admin.get("/clustering/data-planes").await.expect(200).json()["data"], json!([]));
    let absent = "/clustering/data-planes/00000000-0000-4000-8000-000000000000";
    admin.get(absent).await.expect(404);
    admin.delete(absent).await.expect(204);
}

#[tokio::test]
async fn data_planes_come_in_pages() {
    let admin = Admin::start(Database::Postgres).await;
    for n in 1..=3 {
        // Seen now: rows that are gone for long are deleted soon after the start.
        admin.control.execute(&format!(
            "INSERT INTO data_plane (id, hostname, ip, version, config_hash, state, sync_status, labels, \
             connected, last_seen, created_at, updated_at) VALUES ('00000000-0000-4000-8000-00000000000{n}', \
             'h{n}', '127.0.0.1', '1', '', 'disconnected', 'unknown', '{{}}', false, extract(epoch FROM now())::bigint, 1, 1)"
        ));
    }
    let (mut hosts, mut next) = (Vec::new(), Some("/clustering/data-planes?size=2".to_owned()));
    while let Some(target) = next {
        let page = admin.get(&target).await.expect(200).json();
        let rows = page["data"].as_array().unwrap();
        assert!((1..=2).contains(&rows.len()), "{page}");
        hosts.extend(rows.iter().map(|row| row["hostname"].clone()));
        next = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(hosts, ["h1", "h2", "h3"]);
    assert_eq!(admin.get("/clustering/data-planes?size=0").await.expect(400).json()["code"], 9);
    admin.stop().await;
}
