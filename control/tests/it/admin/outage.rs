//! The database fails and recovers: answers come within seconds, no write is half done, and no restart is
//! needed.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::certs;
use testkit::http::Response;
use testkit::plane::{Control, DEADLINE, Database};
use testkit::postgres::Postgres;
use tokio::time::Instant;

use super::{Admin, revision};

/// Timeout of an answer while the database does not answer. It is the store's deadline, once for the lock and
/// once for the query, and the machine's slack.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A control plane on a server of its own.
async fn start(postgres: &Postgres) -> Admin {
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::valid(folder.path(), "cluster");
    let mut control = Control::new(Database::Sqlite, &pair);
    control.node.set("database.url", postgres.database());
    control.node.start().await;
    let client = control.admin();
    Admin { control, client, _pair: folder }
}

/// Some writes of every kind at the same time.
async fn writes(admin: &Admin) -> Vec<Response> {
    let writes = (0..12).map(|n| async move {
        let body = json!({ "host": format!("h{n}") });
        match n % 4 {
            0 => admin.post("/services", &body).await,
            1 => admin.put("/services/a", &body).await,
            2 => admin.patch("/services/a", &body).await,
            _ => admin.delete("/services/a").await,
        }
    });
    join_all(writes).await
}

async fn refused_in_time(admin: &Admin) {
    let begun = Instant::now();
    for answer in writes(admin).await {
        let answer = answer.expect(503);
        assert!(answer.json()["message"].as_str().is_some_and(|said| said.contains("database")));
        assert_eq!(answer.header("gibbon-revision"), None);
    }
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
}

/// Returns the names on the only page of services.
async fn names(admin: &Admin) -> Vec<Value> {
    let page = admin.get("/services?size=1000").await.expect(200).json();
    page["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_and_up_again() {
    // Durable: an acknowledged write must survive the kill.
    let mut postgres = Postgres::start_durable();
    let mut admin = start(&postgres).await;
    let service = json!({ "name": "a", "host": "x" });
    let before = revision(&admin.post("/services", &service).await.expect(201));
    // Enough connections in the pool, so that some are stale afterwards.
    join_all((0..16).map(|_| admin.get("/services"))).await;

    postgres.kill9();
    refused_in_time(&admin).await;
    let ready = admin.control.node.status().get("/status/ready").await.unwrap();
    assert_eq!(ready.expect(503).json()["message"], "failed to connect to database");

    postgres.start_again();
    admin.control.node.wait_ready().await;
    // No request fails on a connection that the server has forgotten.
    for answer in join_all((0..16).map(|_| admin.get("/services"))).await {
        answer.expect(200);
    }
    assert_eq!(names(&admin).await, ["a"]);
    let after = admin.post("/services", &json!({ "name": "b", "host": "x" })).await.expect(201);
    assert_eq!(revision(&after), before + 1);
    assert_eq!(admin.published(before + 1).await, before + 1);
    admin.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer() {
    let postgres = Postgres::start();
    let admin = start(&postgres).await;
    let service = json!({ "name": "a", "host": "x" });
    let before = revision(&admin.post("/services", &service).await.expect(201));

    postgres.freeze();
    refused_in_time(&admin).await;
    postgres.thaw();

    testkit::wait::eventually(DEADLINE, || async {
        let answer = admin.client.get("/status").await.map_err(|error| format!("{error:#}"))?.json();
        if answer["database"]["reachable"] == true { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    let after = admin.post("/services", &json!({ "name": "b", "host": "x" })).await.expect(201);
    assert_eq!(admin.published(revision(&after)).await, revision(&after));
    assert!(revision(&after) > before && names(&admin).await.contains(&json!("b")));
    admin.stop().await;
}
