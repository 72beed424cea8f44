//! A database that was restored to the past: its next revisions repeat the numbers of lost ones. Data planes
//! that hold the lost ones must not treat them as equal.

use std::path::Path;

use entity::{config_change, config_head, document, document_key};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    TransactionTrait,
};
use serde_json::json;
use testkit::plane::{DEADLINE, Database, Gateway, Planes};
use testkit::wait;
use uuid::Uuid;

use super::{Traffic, in_sync, in_sync_at};

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

/// The control plane notices while it runs, not by its own restart.
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
         DELETE FROM document USING document_key AS named \
         WHERE (document.kind, document.id) = (named.kind, named.id) AND named.value IN ('r6', 'r7', 'r8'); \
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

/// A standby that was behind takes over, and is written to before any control plane reads it: its numbers
/// continue as if nothing had happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_plane_follows_a_file_that_was_put_back_and_written_on() {
    written_on(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_plane_follows_a_server_that_was_put_back_and_written_on() {
    written_on(Database::Postgres).await;
}

async fn written_on(database: Database) {
    let planes = Planes::start(database).await;
    planes.serve("/steady").await;
    let traffic = Traffic::start(&planes.gateway.proxy(), "/steady", 2);
    write(&planes, 1..=9).await;
    let past = in_sync(&planes.control, &planes.gateway).await;

    write(&planes, 10..=12).await;
    in_sync(&planes.control, &planes.gateway).await;
    // As many revisions as the lost ones.
    put_back(&planes, past, 10..=12, 7..=9).await;
    planes.gateway.wait_for(&path(7), 404).await;
    in_sync(&planes.control, &planes.gateway).await;
    serves(&planes, 1..=6, 200).await;
    serves(&planes, 7..=12, 404).await;

    let past = in_sync(&planes.control, &planes.gateway).await;
    write(&planes, 10..=11).await;
    in_sync(&planes.control, &planes.gateway).await;
    // More of them.
    put_back(&planes, past, 10..=11, 3..=6).await;
    planes.gateway.wait_for(&path(3), 404).await;
    in_sync(&planes.control, &planes.gateway).await;
    serves(&planes, 1..=2, 200).await;
    serves(&planes, 3..=12, 404).await;
    write(&planes, 13..=13).await;
    traffic.end().await;
}

/// Each of two control planes notices; they agree on the next epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_control_planes_follow_a_server_that_was_put_back_and_written_on() {
    let mut planes = Planes::new(Database::Postgres);
    let mut second = planes.control.beside(&planes.pair);
    let mut of_second = Gateway::new(&[&second], &planes.pair);
    // So long that no node on a busy machine counts as silent.
    let nodes = [&mut planes.control.node, &mut planes.gateway.node, &mut second.node, &mut of_second.node];
    for node in nodes {
        node.set("cluster.heartbeat_interval", "20s");
        node.start().await;
    }
    for round in 0..5 {
        write(&planes, 1..=4).await;
        let past = in_sync(&planes.control, &planes.gateway).await;
        write(&planes, 5..=8).await;
        let newest = in_sync(&planes.control, &planes.gateway).await;
        in_sync_at(&second, &of_second, newest).await;
        put_back(&planes, past, 5..=8, 1..=4).await;
        planes.gateway.wait_for(&path(1), 404).await;
        of_second.wait_for(&path(1), 404).await;
        // Through either of them.
        let body = json!({ "paths": [format!("/after-{round}/")] });
        let written =
            second.admin().post("/routes?wait=applied&timeout=20", &body).await.unwrap().expect(201);
        assert_eq!(written.header("gibbon-applied"), Some("true"), "{:?}", written.headers);
        for gateway in [&planes.gateway, &of_second] {
            gateway.proxy().get(&format!("/after-{round}/")).await.unwrap().expect(503);
            gateway.proxy().get(&path(8)).await.unwrap().expect(404);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_a_file_that_was_put_back_is_live_when_it_says_so() {
    waited_for(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_to_a_server_that_was_put_back_is_live_when_it_says_so() {
    waited_for(Database::Postgres).await;
}

/// The data plane holds a higher revision of the lost epoch; the test waits for another one.
async fn waited_for(database: Database) {
    let planes = Planes::start(database).await;
    write(&planes, 1..=3).await;
    let past = in_sync(&planes.control, &planes.gateway).await;
    let admin = planes.control.admin();
    for round in 0..5 {
        write(&planes, 4..=8).await;
        in_sync(&planes.control, &planes.gateway).await;
        put_back(&planes, past, 4..=8, 0..0).await;
        let body = json!({ "name": "waited", "paths": [format!("/waited-{round}/")] });
        let written = admin.put("/routes/waited?wait=applied&timeout=20", &body).await.unwrap().expect(200);
        let view = planes.control.node.status_view().await;
        assert_eq!(written.header("gibbon-applied"), Some("true"), "{view}");
        planes.gateway.proxy().get(&format!("/waited-{round}/")).await.unwrap().expect(503);
        planes.gateway.proxy().get(&path(4)).await.unwrap().expect(404);
        admin.delete("/routes/waited").await.unwrap().expect(204);
        put_back(&planes, past, 0..0, 0..0).await;
        in_sync(&planes.control, &planes.gateway).await;
    }
}

/// Restores the database to the revision `past`, when the routes `gone` did not exist. Then adds a revision
/// for each of the routes `deleted`; nobody sees a state between.
async fn put_back(
    planes: &Planes,
    past: u64,
    gone: impl Iterator<Item = u32>,
    deleted: impl Iterator<Item = u32>,
) {
    let database = sea_orm::Database::connect(planes.control.database()).await.unwrap();
    let back = database.begin().await.unwrap();
    let names: Vec<_> = gone.map(name).collect();
    let past = i64::try_from(past).unwrap();
    let later = config_change::Entity::delete_many().filter(config_change::Column::Revision.gt(past));
    later.exec(&back).await.unwrap();
    for name in names {
        delete_route(&back, name).await;
    }
    let newest = config_change::Entity::find().filter(config_change::Column::Revision.eq(past));
    let mut newest = newest.one(&back).await.unwrap().unwrap();
    for name in deleted.map(name) {
        let id = delete_route(&back, name).await;
        newest = config_change::Model {
            revision: newest.revision + 1,
            id,
            op: 2,
            bytes: Vec::new(),
            hash: Vec::new(),
            commit_token: Some(Uuid::new_v4()),
            previous: newest.commit_token,
            ..newest
        };
        config_change::Entity::insert(newest.clone().into_active_model().reset_all())
            .exec_without_returning(&back)
            .await
            .unwrap();
    }
    let head = config_head::Entity::update_many()
        .col_expr(config_head::Column::Revision, Expr::value(newest.revision))
        .col_expr(config_head::Column::CommitToken, Expr::value(newest.commit_token))
        .col_expr(config_head::Column::Previous, Expr::value(newest.previous));
    head.exec(&back).await.unwrap();
    back.commit().await.unwrap();
    database.close().await.unwrap();
}

/// Deletes a route's document, and returns its id.
async fn delete_route(connection: &impl ConnectionTrait, name: String) -> Uuid {
    let key = document_key::Entity::find().filter(document_key::Column::Value.eq(name));
    let key = key.one(connection).await.unwrap().unwrap();
    document::Entity::delete_by_id((key.kind, key.id)).exec(connection).await.unwrap();
    key.id
}

/// Creates the routes one by one, and waits until each is live.
async fn write(planes: &Planes, numbers: impl Iterator<Item = u32>) {
    let admin = planes.control.admin();
    let service = json!({ "url": planes.origin.url() });
    let service = admin.put("/services/shared", &service).await.unwrap().expect(200).json();
    for n in numbers {
        let body = json!({ "name": name(n), "paths": [path(n)], "service": { "id": service["id"] } });
        admin.post("/routes", &body).await.unwrap().expect(201);
        planes.gateway.wait_for(&path(n), 200).await;
    }
}

async fn serves(planes: &Planes, numbers: impl Iterator<Item = u32>, status: u16) {
    for n in numbers {
        planes.gateway.proxy().get(&path(n)).await.unwrap().expect(status);
    }
}

fn name(n: u32) -> String {
    format!("r{n}")
}

fn path(n: u32) -> String {
    format!("/r{n}/")
}

async fn epoch(planes: &Planes) -> String {
    let answer = planes.control.admin().get("/clustering/config").await.unwrap().expect(200).json();
    answer["epoch"].as_str().unwrap().to_owned()
}

/// Replaces the database in one folder by that in the other.
pub(super) fn replace(from: &Path, to: &Path) {
    for file in FILES {
        std::fs::remove_file(to.join(file)).ok();
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}
