//! A database that is not the expected one: its configuration reaches the data planes under another epoch,
//! and only if it cannot be a mistake.

use std::fs;

use serde_json::{Value, json};
use testkit::http::Response;
use testkit::plane::{DEADLINE, Database, Planes};
use testkit::process::Program;
use testkit::wait;

use super::in_sync;
use super::restored::replace;

const HELD_BACK: &str = "gibbon_cluster_guard_held_back";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_file_is_held_back_until_the_endpoint_confirms_it() {
    let planes = emptied(&["last_head.json"]).await;
    let body = json!({ "name": "a", "host": "x" });
    let written = planes.control.admin().post("/services?wait=applied", &body).await.unwrap().expect(201);
    assert_eq!(written.header("gibbon-applied"), Some("false"), "{:?}", written.headers);
    assert!(written.header("gibbon-pending").unwrap().contains("held back"), "{:?}", written.headers);
    planes.control.admin().post("/clustering/guard/confirm", &json!({})).await.unwrap().expect(200);
    is_let_through(&planes).await;
}

/// Only the data planes' own reports are left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_folder_is_held_back_until_the_command_confirms_it() {
    let planes = emptied(&[]).await;
    let mut confirm = Program::control()
        .arg("cluster")
        .arg("confirm")
        .env("GIBBON_DATA_DIR", planes.control.data())
        .spawn();
    assert!(confirm.wait_exit(DEADLINE).await.success(), "{}", confirm.stderr());
    assert!(confirm.stdout().contains("confirmed epoch"), "{}", confirm.stdout());
    is_let_through(&planes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_file_that_was_confirmed_stays_confirmed_over_a_restart() {
    let mut planes = emptied(&["last_head.json"]).await;
    planes.control.admin().post("/clustering/guard/confirm", &json!({})).await.unwrap().expect(200);
    planes.control.node.stop().await;
    planes.control.node.start().await;
    is_let_through(&planes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_is_put_back_in_place_ends_the_holding_back() {
    let mut planes = started(Database::Postgres).await;
    let right = planes.control.database();
    planes.control.node.stop().await;
    planes.control.node.set("database.url", testkit::postgres::shared().database());
    planes.control.node.start().await;
    held_back(&planes).await;
    planes.control.node.stop().await;
    planes.control.node.set("database.url", right);
    planes.control.node.start().await;
    in_sync(&planes.control, &planes.gateway).await;
    planes.gateway.proxy().get("/steady").await.unwrap().expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_file_is_not_held_back_when_the_guard_is_off() {
    let mut planes = started(Database::Sqlite).await;
    planes.control.node.set("cluster.guard", false);
    planes.control.node.stop().await;
    empty(planes.control.data(), &[]);
    planes.control.node.start().await;
    is_let_through(&planes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_everything_in_one_epoch_is_not_held_back() {
    let mut planes = started(Database::Sqlite).await;
    let admin = planes.control.admin();
    for collection in ["routes", "services"] {
        for row in rows(&admin.get(&format!("/{collection}")).await.unwrap()) {
            let path = format!("/{collection}/{}", row["id"].as_str().unwrap());
            admin.delete(&path).await.unwrap().expect(204);
        }
    }
    planes.gateway.wait_for("/steady", 404).await;
    planes.control.node.stop().await;
    planes.control.node.start().await;
    is_let_through(&planes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_restored_while_stopped_goes_on_under_another_epoch() {
    restored(&[]).await;
}

/// Only the data plane knows that there were more entities.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_restored_to_a_new_machine_goes_on_under_another_epoch() {
    restored(&["last_head.json"]).await;
}

async fn restored(lost: &[&str]) {
    let mut planes = started(Database::Sqlite).await;
    let before = config(&planes).await;
    planes.control.node.stop().await;
    let dump = tempfile::tempdir().unwrap();
    replace(planes.control.data(), dump.path());
    planes.control.node.start().await;
    let body = |name: &str| json!({ "name": name, "paths": [format!("/{name}")] });
    for name in ["lost-1", "lost-2", "lost-3"] {
        planes.control.admin().post("/routes", &body(name)).await.unwrap().expect(201);
    }
    planes.gateway.wait_for("/lost-3", 503).await;
    in_sync(&planes.control, &planes.gateway).await;
    planes.control.node.stop().await;
    replace(dump.path(), planes.control.data());
    for file in lost {
        fs::remove_file(planes.control.data().join(file)).unwrap();
    }
    planes.control.node.start().await;

    // The data plane holds a later revision of the lost epoch, which is not this one.
    let target = "/routes?wait=applied&timeout=20";
    planes.gateway.node.wait_status("connected", |view| view["sync"]["connected"] == true).await;
    let written = planes.control.admin().post(target, &body("new")).await.unwrap().expect(201);
    assert_eq!(written.header("gibbon-applied"), Some("true"), "{:?}", written.headers);
    planes.gateway.proxy().get("/new").await.unwrap().expect(503);
    planes.gateway.proxy().get("/lost-1").await.unwrap().expect(404);
    planes.gateway.proxy().get("/steady").await.unwrap().expect(200);
    assert_ne!(config(&planes).await["epoch"], before["epoch"]);
}

/// Data planes whose control plane was started on a data folder with these files alone.
async fn emptied(left: &[&str]) -> Planes {
    let mut planes = started(Database::Sqlite).await;
    planes.control.node.stop().await;
    empty(planes.control.data(), left);
    planes.control.node.start().await;
    held_back(&planes).await;
    planes
}

async fn started(database: Database) -> Planes {
    let planes = Planes::start(database).await;
    planes.serve("/steady").await;
    in_sync(&planes.control, &planes.gateway).await;
    planes
}

fn empty(folder: &std::path::Path, left: &[&str]) {
    for file in fs::read_dir(folder).unwrap().flatten() {
        if !left.iter().any(|left| file.file_name() == *left) {
            fs::remove_file(file.path()).unwrap();
        }
    }
}

async fn held_back(planes: &Planes) {
    wait::eventually(DEADLINE, || async {
        let shown = planes.control.admin().get("/clustering/data-planes").await?.expect(200);
        let connected: Vec<Value> = rows(&shown).into_iter().filter(|row| row["connected"] == true).collect();
        anyhow::ensure!(connected.len() == 1 && connected[0]["held_back"] == true, "{connected:?}");
        Ok(())
    })
    .await;
    assert!(config(planes).await["held_back"].as_str().is_some_and(|reason| reason.contains("epoch")));
    assert!(planes.control.node.metric(HELD_BACK).await > 0.0);
    planes.control.node.wait_log("gibbon-control cluster confirm").await;
    planes.gateway.proxy().get("/steady").await.unwrap().expect(200);
}

async fn is_let_through(planes: &Planes) {
    in_sync(&planes.control, &planes.gateway).await;
    planes.gateway.wait_for("/steady", 404).await;
    assert_eq!(config(planes).await["held_back"], Value::Null);
    assert_eq!(planes.control.node.metric(HELD_BACK).await, 0.0);
}

async fn config(planes: &Planes) -> Value {
    planes.control.admin().get("/clustering/config").await.unwrap().expect(200).json()
}

fn rows(page: &Response) -> Vec<Value> {
    page.json()["data"].as_array().unwrap().clone()
}
