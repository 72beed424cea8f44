//! A document of 20,000 entities.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::plane::Database;
use tokio::time::Instant;

use super::Admin;

const SERVICES: usize = 10_000;
/// The deadline of one document, by a program that is not optimised on a busy machine.
const DEADLINE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_entities_on_sqlite() {
    many(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_entities_on_postgresql() {
    many(Database::Postgres).await;
}

fn document(host: &str) -> Value {
    let services = (0..SERVICES).map(|number| {
        json!({
            "name": format!("service-{number}"),
            "host": if number == 0 { host.to_owned() } else { format!("host-{number}") },
            "routes": [{ "name": format!("route-{number}"), "paths": [format!("/path/{number}")] }],
        })
    });
    json!({ "_format_version": "3.0", "services": services.collect::<Vec<_>>() })
}

async fn many(database: Database) {
    let admin = Admin::start(database).await;
    let client = admin.control.admin().with_deadline(DEADLINE);
    let first = document("a");
    let applied = client.post("/config", &first);
    let asked = async {
        // Other requests are answered meanwhile.
        let (mut slowest, begun) = (Duration::ZERO, Instant::now());
        while begun.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            admin.get("/status").await.expect(200);
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest
    };
    let (applied, slowest) = tokio::join!(applied, asked);
    assert_eq!(applied.unwrap().expect(201).json()["created"], 2 * SERVICES);
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");

    let changed = client.post("/config", &document("b")).await.unwrap().expect(201).json();
    assert_eq!((&changed["updated"], &changed["unchanged"]), (&json!(1), &json!(2 * SERVICES - 1)));
    let dump = client.get("/config").await.unwrap().expect(200).json();
    assert_eq!(dump["routes"].as_array().unwrap().len(), SERVICES);
    client.post("/config", &dump).await.unwrap().expect(200);
    let nothing = client.post("/config", &json!({ "_format_version": "3.0" })).await.unwrap().expect(201);
    assert_eq!(nothing.json()["deleted"], 2 * SERVICES);
    admin.stop().await;
}
