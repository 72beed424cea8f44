//! `?wait=applied` with more waiting writes than are allowed.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use testkit::http::Client;
use testkit::plane::{DEADLINE, Database, Planes};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Writes that wait at the same time.
const WAITING: usize = 1000;
const CONNECTIONS: &str = "1200";
/// Less than the timeout of those that wait.
const MAX_WAIT: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_beyond_the_most_that_wait_is_answered_at_once() {
    let mut planes = Planes::new(Database::Sqlite);
    for key in ["admin.max_connections", "admin.max_connections_per_address", "admin.max_in_flight"] {
        planes.control.node.set(key, CONNECTIONS);
    }
    // Longer than the test: the data plane is not disconnected for its silence.
    planes.control.node.set("cluster.heartbeat_interval", "5m");
    planes.control.node.start().await;
    planes.gateway.node.start().await;
    planes.serve("/").await;
    let admin = planes.control.admin().with_deadline(3 * DEADLINE);
    planes.gateway.node.process_mut().pause();
    let service = json!({ "name": "late", "host": "example.com" });
    admin.post("/services", &service).await.unwrap().expect(201);
    // The last one is beyond, whichever that is.
    let mut writes = JoinSet::new();
    (0..=WAITING).for_each(|_| drop(writes.spawn(write(admin.clone()))));
    assert_eq!(timeout(MAX_WAIT, writes.join_next()).await.unwrap().unwrap().unwrap(), "false");
    assert!(writes.try_join_next().is_none(), "one that waits was answered");
    planes.gateway.node.process_mut().signal(Signal::SIGCONT);
    assert_eq!(writes.join_next().await.unwrap().unwrap(), "true");
}

/// Writes what is there already, which costs no sync, and returns whether the head is applied.
async fn write(admin: Client) -> String {
    loop {
        let same = json!({ "host": "example.com" });
        let answer = admin.patch("/services/late?wait=applied&timeout=60", &same).await;
        // On a busy machine a connection may be too late with its header, or the writes before it too slow.
        if let Ok(answer) = answer
            && answer.status != 503
        {
            return answer.expect(200).header("gibbon-applied").unwrap().to_owned();
        }
    }
}
