//! The founding story over the two real programs, on both databases.

use serde_json::{Value, json};
use testkit::http::Client;
use testkit::plane::{DEADLINE, Database, Planes};
use testkit::wait;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_on_sqlite() {
    tell(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_on_postgresql() {
    tell(Database::Postgres).await;
}

async fn tell(database: Database) {
    let mut planes = Planes::start(database).await;
    create_proxy_update_delete(&planes).await;

    planes.control.node.kill9();
    serve_many(&planes.gateway.proxy(), 200).await;

    planes.gateway.node.kill9();
    planes.gateway.node.start().await;
    serve_many(&planes.gateway.proxy(), 1).await;
    assert_eq!(planes.gateway.node.metric("gibbon_config_served_from_disk").await, 1.0);

    planes.control.node.start().await;
    planes
        .gateway
        .node
        .wait_status("the data plane has reconnected", |status| status["sync"]["connected"] == true)
        .await;
    planes
        .control
        .admin()
        .post("/services/test/routes", &json!({ "paths": ["/late"], "name": "late" }))
        .await
        .unwrap()
        .expect(201);
    planes.gateway.wait_for("/late", 200).await;
    // The table serves before the agent counts it.
    planes.gateway.node.wait_metric("gibbon_config_served_from_disk", 0.0).await;
    in_sync(&planes).await;

    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}

async fn create_proxy_update_delete(planes: &Planes) {
    let admin = planes.control.admin();
    let port = planes.origin.address().port().to_string();
    let service = [("name", "test"), ("host", "127.0.0.1"), ("port", &port)];
    let created = admin.post_form("/services", &service).await.unwrap().expect(201);
    assert_eq!(created.header("gibbon-revision"), Some("1"));
    let route = admin.post_form("/services/test/routes", &[("paths[]", "/")]).await.unwrap().expect(201);
    assert_eq!(route.header("gibbon-revision"), Some("2"));
    planes.gateway.wait_for("/get", 200).await;
    assert_eq!(planes.origin.last().target, "/get");

    let id = route.json()["id"].as_str().unwrap().to_owned();
    admin.patch(&format!("/routes/{id}"), &json!({ "paths": ["/v2"] })).await.unwrap().expect(200);
    planes.gateway.wait_for("/get", 404).await;
    planes.gateway.wait_for("/v2/get", 200).await;
    admin.delete(&format!("/routes/{id}")).await.unwrap().expect(204);
    planes.gateway.wait_for("/v2/get", 404).await;

    admin.post("/services/test/routes", &json!({ "paths": ["/"] })).await.unwrap().expect(201);
    planes.gateway.wait_for("/get", 200).await;
    in_sync(planes).await;
}

/// The control plane shows the data plane, with the hash that the data plane says it holds.
async fn in_sync(planes: &Planes) {
    let admin = planes.control.admin();
    let status = planes.gateway.node.status_view().await;
    let node = status["sync"]["node_id"].as_str().unwrap().to_owned();
    wait::eventually(DEADLINE, || async {
        let rows = admin.get("/clustering/status").await.map_err(|error| format!("{error:#}"))?.json();
        let row = &rows[&node];
        let hash = row["config_hash"].as_str().unwrap_or_default();
        let held = planes.gateway.node.status_view().await["sync"]["config_hash"].clone();
        if hash.len() == 32 && held == hash && row["last_seen"].as_i64().unwrap_or(0) > 0 {
            Ok(())
        } else {
            Err(format!("{rows}, held {held}"))
        }
    })
    .await;
    // The data plane serves a change before it acks it, and the control plane counts its lag until then.
    wait::eventually(DEADLINE, || async {
        let row = data_plane(&admin, &node).await;
        if row["connected"] == true && row["state"] == "synced" && row["lag"] == 0 {
            Ok(())
        } else {
            Err(row.to_string())
        }
    })
    .await;
}

/// Returns the row of a data plane; null if there is none. One that ends as soon as it has connected is shown
/// when its row is written.
async fn data_plane(admin: &Client, node: &str) -> Value {
    let answer = admin.get("/clustering/data-planes").await.unwrap().expect(200).json();
    let rows = answer["data"].as_array().unwrap().clone();
    rows.into_iter().find(|row| row["id"] == node).unwrap_or_default()
}

async fn serve_many(proxy: &Client, count: usize) {
    for _ in 0..count {
        proxy.get("/get").await.unwrap().expect(200);
    }
}

/// A revision that the Admin API would reject, written past it. The data plane rejects it and names the
/// entity, the control plane shows that, and the next good change resolves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_revision_is_shown_and_the_next_one_mends_it() {
    let planes = Planes::start(Database::Postgres).await;
    planes.serve("/good").await;
    let node = planes.gateway.node.status_view().await["sync"]["node_id"].as_str().unwrap().to_owned();
    let bad = "00000000-0000-4000-8000-000000000bad";
    poison(&planes, bad);

    let admin = planes.control.admin();
    let row = wait::eventually(DEADLINE, || async {
        let row = data_plane(&admin, &node).await;
        if row["state"] == "rejected" { Ok(row) } else { Err(row.to_string()) }
    })
    .await;
    assert_eq!(row["last_error"]["reason"], "invalid", "{row}");
    assert_eq!(row["last_error"]["entity"], "routes", "{row}");
    assert_eq!(row["last_error"]["id"], bad, "{row}");
    assert_eq!(row["lag"], 1, "{row}");
    planes.gateway.proxy().get("/good").await.unwrap().expect(200);
    let rejections = r#"gibbon_config_rejections_total{reason="invalid"}"#;
    assert_eq!(planes.gateway.node.metric(rejections).await, 1.0);

    unpoison(&planes, bad);
    planes.serve("/better").await;
    wait::eventually(DEADLINE, || async {
        let row = data_plane(&admin, &node).await;
        if row["state"] == "synced" && row["last_error"].is_null() { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
    assert_eq!(planes.gateway.node.metric(rejections).await, 1.0, "the refused revision came only once");
}

/// Writes a route without a leading slash into the log, as a revision of its own.
fn poison(planes: &Planes, id: &str) {
    change(planes, id, 1, r#"{"paths":["no slash"],"created_at":1}"#);
}

fn unpoison(planes: &Planes, id: &str) {
    change(planes, id, 2, "");
}

fn change(planes: &Planes, id: &str, op: u8, bytes: &str) {
    let hex: String = bytes.bytes().map(|byte| format!("{byte:02x}")).collect();
    let sql = format!(
        "BEGIN; UPDATE config_head \
         SET revision = revision + 1, previous = stamp, stamp = gen_random_uuid(); \
         INSERT INTO config_change (revision, ordinal, kind, id, op, bytes, hash, stamp, previous) \
         SELECT revision, 0, 2, '{id}', {op}, '\\x{hex}', '\\x00', stamp, previous FROM config_head; COMMIT;"
    );
    planes.control.execute(&sql);
}

/// The data plane's ids survive a restart, and a data plane that is gone is shown as such, then forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_that_is_gone_is_shown_as_disconnected_and_can_be_forgotten() {
    let planes = Planes::start(Database::Sqlite).await;
    let mut other = planes.another_gateway().await;
    let node = other.node.status_view().await["sync"]["node_id"].as_str().unwrap().to_owned();
    let admin = planes.control.admin();
    let connected = |expected: bool| {
        let (admin, node) = (admin.clone(), node.clone());
        async move {
            wait::eventually(DEADLINE, || async {
                let row = data_plane(&admin, &node).await;
                if row["connected"] == expected { Ok(()) } else { Err(row.to_string()) }
            })
            .await;
        }
    };
    connected(true).await;
    other.node.kill9();
    connected(false).await;
    other.node.start().await;
    connected(true).await;
    // It may have ended before its disk had the head.
    wait::eventually(DEADLINE, || async {
        let row = data_plane(&admin, &node).await;
        if row["state"] == "synced" { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
    other.node.stop().await;
    connected(false).await;
    admin.delete(&format!("/clustering/data-planes/{node}")).await.unwrap().expect(204);
    let rows = admin.get("/clustering/data-planes").await.unwrap().expect(200).json();
    assert_eq!(rows["data"].as_array().map(Vec::len), Some(1), "{rows}");
}

/// A client that waits for its write finds it live. Otherwise the answer names each data plane that has
/// rejected it or is late, with the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_can_wait_until_it_is_live_everywhere() {
    let mut planes = Planes::start(Database::Postgres).await;
    planes.serve("/first").await;
    let mut other = planes.another_gateway().await;
    let (admin, service) = (planes.control.admin(), json!({ "name": "waited", "url": planes.origin.url() }));
    admin.post("/services?wait=applied", &service).await.unwrap().expect(201);
    for n in 0..20 {
        let path = format!("/waited-{n}");
        let target = "/services/waited/routes?wait=applied&timeout=20";
        let response = admin.post(target, &json!({ "paths": [path] })).await.unwrap().expect(201);
        assert_eq!(response.header("gibbon-applied"), Some("true"));
        planes.gateway.proxy().get(&path).await.unwrap().expect(200);
        other.proxy().get(&path).await.unwrap().expect(200);
    }

    other.node.process_mut().pause();
    let late = json!({ "paths": ["/late"] });
    let response =
        admin.post("/services/waited/routes?wait=applied&timeout=0.2", &late).await.unwrap().expect(201);
    assert_eq!(response.header("gibbon-applied"), Some("false"));
    assert!(response.header("gibbon-pending").unwrap().ends_with("; not live yet"));
    planes.gateway.wait_for("/late", 200).await;
    other.node.process_mut().signal(nix::sys::signal::Signal::SIGCONT);
    other.wait_for("/late", 200).await;
    other.node.stop().await;

    poison(&planes, "00000000-0000-4000-8000-000000000bad");
    let refused = json!({ "paths": ["/refused"] });
    let response =
        admin.post("/services/waited/routes?wait=applied&timeout=20", &refused).await.unwrap().expect(201);
    assert_eq!(response.header("gibbon-applied"), Some("false"));
    assert!(response.header("gibbon-pending").unwrap().contains("; refused: "), "{:?}", response.headers);
    planes.gateway.node.stop().await;
}

#[tokio::test]
async fn a_wait_that_cannot_be_read_is_refused_before_anything_is_written() {
    let planes = Planes::start(Database::Sqlite).await;
    let admin = planes.control.admin();
    let service = json!({ "host": "127.0.0.1" });
    for query in ["wait=yes", "wait=applied&timeout=soon"] {
        admin.post(&format!("/services?{query}"), &service).await.unwrap().expect(400);
    }
    assert_eq!(admin.get("/services").await.unwrap().expect(200).json()["data"], json!([]));
}
