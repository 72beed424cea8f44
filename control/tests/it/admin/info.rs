//! Information about the control plane, and the headers that all answers share.

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::http::Request;
use testkit::plane::{DEADLINE, Database};
use testkit::wait::eventually;

use super::{Admin, on_both_databases};

on_both_databases!(
    about_the_node,
    connections_are_counted,
    units_of_memory,
    common_headers,
    paths_and_methods_that_are_not_there,
    clustering
);

async fn about_the_node(admin: &Admin) {
    let node = admin.get("/").await.expect(200).json();
    assert_eq!(node["version"], "3.9.1");
    assert_eq!(node["gibbon_version"], env!("CARGO_PKG_VERSION"));
    assert!(node["node_id"].as_str().is_some_and(|id| id.len() == 36));
    let configuration = &node["configuration"];
    let url = admin.control.database();
    let database = if url.starts_with("sqlite:") { "sqlite" } else { "postgres" };
    assert_eq!(configuration["database"], database, "{url}");
    assert_eq!(configuration["router_flavor"], "traditional_compatible");
    assert_eq!(configuration["database_settings"]["migrate"], true);
    assert_eq!(node["pids"], json!({ "master": admin.control.node.pid(), "workers": [] }));
    assert_eq!(node["timers"], json!({ "running": 0, "pending": 0 }));
    assert!(node.get("lua_version").is_none(), "{node}");
    let status = admin.get("/status").await.expect(200).json();
    assert_eq!(status["database"], json!({ "reachable": true }));
    assert!(status["server"]["total_requests"].as_u64().unwrap() >= 1, "{status}");
    let endpoints = admin.get("/endpoints").await.expect(200).json();
    let paths = endpoints["data"].as_array().unwrap();
    assert!(paths.contains(&json!("/services/{services}/routes/{routes}")), "{endpoints}");
}

async fn connections_are_counted(admin: &Admin) {
    let server = async || admin.get("/status").await.expect(200).json()["server"].clone();
    let before = server().await;
    let count = |server: &Value, name: &str| server[format!("connections_{name}")].as_u64().unwrap();
    assert!(count(&before, "active") >= 1 && count(&before, "writing") >= 1, "{before}");
    let held = [(); 3].map(|()| std::net::TcpStream::connect(admin.client.address()).unwrap());
    eventually(DEADLINE, || async {
        let now = server().await;
        let more = |name| count(&now, name) - count(&before, name);
        ensure!(more("accepted") >= 3 && more("handled") >= 3, "{before} {now}");
        ensure!(count(&now, "active") >= 4 && count(&now, "waiting") >= 3, "{now}");
        anyhow::Ok(())
    })
    .await;
    drop(held);
    eventually(DEADLINE, || async {
        let now = server().await;
        ensure!(count(&now, "active") < 4 && count(&now, "waiting") < 3, "{now}");
        ensure!(count(&now, "accepted") >= count(&before, "accepted") + 3, "{now}");
        anyhow::Ok(())
    })
    .await;
}

async fn units_of_memory(admin: &Admin) {
    for query in ["", "?unit=", "?unit=b", "?unit=k", "?unit=M", "?unit=G&scale=3", "?units=z"] {
        admin.get(&format!("/status{query}")).await.expect(200);
    }
    for query in ["?unit=z", "?unit=m&unit=z", "?unit=z&scale=1"] {
        let refused = admin.get(&format!("/status{query}")).await.expect(400).json();
        let message = "invalid unit 'z' (expected 'k/K', 'm/M', or 'g/G')";
        assert_eq!(refused, json!({ "message": message }), "{query}");
    }
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
