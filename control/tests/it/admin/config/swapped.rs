//! Two routes that one document swaps are never seen half swapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use testkit::plane::{Database, Planes};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_routes_are_swapped_at_once_on_sqlite() {
    swap(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_routes_are_swapped_at_once_on_postgresql() {
    swap(Database::Postgres).await;
}

async fn swap(database: Database) {
    let mut planes = Planes::start(database).await;
    let (admin, url) = (planes.control.admin(), planes.origin.url());
    let document = |one: &str, two: &str| -> Value {
        json!({
            "_format_version": "3.0",
            "services": [
                { "name": "one", "url": format!("{url}/one"), "routes": [{ "name": "one", "paths": [one] }] },
                { "name": "two", "url": format!("{url}/two"), "routes": [{ "name": "two", "paths": [two] }] },
            ],
        })
    };
    admin.post("/config", &document("/a", "/b")).await.unwrap().expect(201);
    planes.gateway.wait_for("/a", 200).await;
    planes.gateway.wait_for("/b", 200).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for path in ["/a", "/b"] {
        let (proxy, stop) = (planes.gateway.proxy(), Arc::clone(&stop));
        clients.spawn(async move {
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) {
                // Without a route for the path it would be a 404.
                proxy.get(path).await.unwrap().expect(200);
                asked += 1;
            }
            asked
        });
    }
    for turn in 0..20 {
        let (one, two) = if turn % 2 == 0 { ("/b", "/a") } else { ("/a", "/b") };
        let answer = admin.post("/config?wait=applied", &document(one, two)).await.unwrap().expect(201);
        assert_eq!(answer.json()["updated"], 2);
        assert_eq!(answer.header("gibbon-applied"), Some("true"));
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(asked) = clients.join_next().await {
        assert!(asked.unwrap() > 20);
    }
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}
