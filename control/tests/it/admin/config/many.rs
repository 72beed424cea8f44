//! Documents of 10,000 and 20,000 entities.

use std::time::Duration;

use control::store::{Author, Store};
use serde_json::{Value, json};
use testkit::http::Connection;
use testkit::plane::Database;
use testkit::wait;
use tokio::time::Instant;

use super::Admin;
use crate::store::{put_service, service};

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

/// A write that comes between the comparison and the changes of a document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_amid_a_document_is_compared_too() {
    let admin = Admin::start(Database::Postgres).await;
    let store = Store::open(&admin.control.database()).await.unwrap();
    let mut amid = store.edit(&Author::default()).await.unwrap();
    amid.make(vec![put_service(&service(1, "a")), put_service(&service(2, "other"))]).await.unwrap();
    let document =
        json!({ "_format_version": "3.0", "services": [{ "name": "a", "host": "of-the-document" }] });
    let applied = admin.client.post("/config", &document);
    let committed = async {
        wait::until(DEADLINE, "the document waits for the other write", || waits(&admin) == "1").await;
        amid.commit().await.unwrap()
    };
    let (applied, committed) = tokio::join!(applied, committed);
    let applied = applied.unwrap().expect(201).json();
    assert_eq!((committed, &applied["updated"], &applied["deleted"]), (1, &json!(1), &json!(1)));
    let all = admin.get("/services").await.expect(200).json();
    assert_eq!(
        (all["data"].as_array().unwrap().len(), &all["data"][0]["host"]),
        (1, &json!("of-the-document"))
    );

    // One that is in the way of no change, after these have begun.
    let mut held = store.edit(&Author::default()).await.unwrap();
    held.make(vec![put_service(&service(3, "b"))]).await.unwrap();
    let document = json!({ "_format_version": "3.0", "services": [
        { "name": "a", "host": "of-the-document" }, { "name": "b", "host": "of-the-document" },
    ] });
    let applied = admin.client.post("/config", &document);
    let written = async {
        wait::until(DEADLINE, "the document waits for the other write", || waits(&admin) == "1").await;
        admin.post("/services", &json!({ "name": "late", "host": "late" })).await.expect(201);
        drop(held);
    };
    let (applied, ()) = tokio::join!(applied, written);
    assert_eq!(applied.unwrap().expect(201).json()["deleted"], 1);
    admin.get("/services/late").await.expect(404);
    admin.stop().await;
}

/// How many writes wait for another one.
fn waits(admin: &Admin) -> String {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND datname = current_database()";
    admin.control.execute(waiting)
}

/// Its client cannot know whether it was written: it is, whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_entities_are_written_though_their_client_leaves() {
    let admin = Admin::start(Database::Postgres).await;
    // The document waits for this write, which holds one of its names.
    let store = Store::open(&admin.control.database()).await.unwrap();
    let mut held = store.edit(&Author::default()).await.unwrap();
    held.make(vec![put_service(&service(1, "service-0"))]).await.unwrap();
    let services = (0..SERVICES).map(|number| json!({ "name": format!("service-{number}"), "host": "a" }));
    let document = json!({ "_format_version": "3.0", "services": services.collect::<Vec<_>>() });
    let body = document.to_string();
    let head = format!(
        "POST /config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = Connection::open(admin.client.address()).await.unwrap();
    client.write((head + &body).as_bytes()).await.unwrap();
    let waits =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT%'";
    wait::until(DEADLINE, "the document waits for the other write", || {
        admin.control.execute(&format!("{waits} AND datname = current_database()")) == "1"
    })
    .await;
    drop(client);
    drop(held);
    assert_eq!(admin.published(1).await, 1);
    assert_eq!(store.head().await.unwrap().revision, 1);
    let written = admin.control.execute("SELECT count(*) FROM document");
    assert_eq!(written, SERVICES.to_string());
    // The next document gets its turn.
    let client = admin.client.clone().with_deadline(DEADLINE);
    wait::eventually(DEADLINE, || async {
        let answer = client.post("/config?dry_run=true", &document).await.unwrap();
        if answer.status == 200 { Ok(()) } else { Err(answer.status) }
    })
    .await;
    admin.stop().await;
}
