//! A database that is put back to the past: its next revisions have the numbers of those that are gone, and
//! data planes that hold the gone ones must not take them for the same.

use std::path::Path;

use serde_json::json;
use testkit::plane::{DEADLINE, Database, Planes};
use testkit::wait;

use super::{Traffic, in_sync};

/// Files that hold the database of an installation on SQLite.
const FILES: [&str; 3] = ["gibbon.sqlite", "gibbon.sqlite-wal", "gibbon.sqlite-shm"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_plane_follows_a_file_that_is_put_back() {
    let mut planes = Planes::start(Database::Sqlite).await;
    let copy = tempfile::tempdir().unwrap();
    planes.serve("/steady").await;
    let traffic = Traffic::start(&planes.gateway.proxy(), "/steady", 2);
    write(&planes, 1..=5).await;
    planes.control.node.stop().await;
    replace(planes.control.data(), copy.path());
    planes.control.node.start().await;
    write(&planes, 6..=8).await;
    in_sync(&planes.control, &planes.gateway).await;
    planes.control.node.stop().await;

    replace(copy.path(), planes.control.data());
    planes.control.node.start().await;
    in_sync(&planes.control, &planes.gateway).await;
    serves(&planes, 1..=5, 200).await;
    serves(&planes, 6..=8, 404).await;
    // As many revisions as before, and others.
    write(&planes, 9..=11).await;
    in_sync(&planes.control, &planes.gateway).await;
    serves(&planes, 6..=8, 404).await;
    serves(&planes, 9..=11, 200).await;
    traffic.end().await;
}

/// The control plane does not notice by its own restart, but while it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_plane_follows_a_head_that_goes_back_under_a_running_control_plane() {
    let planes = Planes::start(Database::Postgres).await;
    planes.serve("/steady").await;
    let traffic = Traffic::start(&planes.gateway.proxy(), "/steady", 2);
    write(&planes, 1..=5).await;
    let past = in_sync(&planes.control, &planes.gateway).await;
    let epoch = epoch(&planes).await;
    write(&planes, 6..=8).await;
    in_sync(&planes.control, &planes.gateway).await;

    planes.control.execute(&format!(
        "BEGIN; DELETE FROM config_change WHERE revision > {past}; \
         DELETE FROM route WHERE name IN ('r6', 'r7', 'r8'); \
         UPDATE config_head SET revision = {past}; COMMIT;"
    ));
    let admin = planes.control.admin();
    wait::eventually(DEADLINE, || async {
        let now = admin.get("/clustering/config").await?.expect(200).json();
        anyhow::ensure!(now["epoch"] != epoch.as_str() && now["revision"] == past, "{now}");
        Ok(())
    })
    .await;
    in_sync(&planes.control, &planes.gateway).await;
    serves(&planes, 1..=5, 200).await;
    serves(&planes, 6..=8, 404).await;
    write(&planes, 9..=9).await;
    serves(&planes, 9..=9, 200).await;
    traffic.end().await;
}

/// One route each, waited for until it is live.
async fn write(planes: &Planes, numbers: impl Iterator<Item = u32>) {
    let admin = planes.control.admin();
    let service = json!({ "url": planes.origin.url() });
    let service = admin.put("/services/shared", &service).await.unwrap().expect(200).json();
    for n in numbers {
        let body = json!({ "name": format!("r{n}"), "paths": [path(n)], "service": { "id": service["id"] } });
        admin.post("/routes", &body).await.unwrap().expect(201);
        planes.gateway.wait_for(&path(n), 200).await;
    }
}

async fn serves(planes: &Planes, numbers: impl Iterator<Item = u32>, status: u16) {
    for n in numbers {
        planes.gateway.proxy().get(&path(n)).await.unwrap().expect(status);
    }
}

fn path(n: u32) -> String {
    format!("/r{n}/")
}

async fn epoch(planes: &Planes) -> String {
    let answer = planes.control.admin().get("/clustering/config").await.unwrap().expect(200).json();
    answer["epoch"].as_str().unwrap().to_owned()
}

/// Puts the database in one folder in place of that in the other.
fn replace(from: &Path, to: &Path) {
    for file in FILES {
        std::fs::remove_file(to.join(file)).ok();
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}
