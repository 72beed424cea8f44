//! Two control planes on one database, of which one is killed while writes go on.

use std::time::Duration;

use control::store::{Author, Store};
use futures_util::future::join_all;
use model::{Route, Service};
use serde_json::json;
use testkit::plane::{Control, Database, Gateway, Planes};
use tokio::time::sleep;

use super::{Traffic, in_sync_at, snapshots};

/// How long a long transaction is open; many short ones commit meanwhile.
const LONG: Duration = Duration::from_millis(150);
/// Long transactions at once, and in sequence.
const LONG_WRITERS: u128 = 2;
const LONG_WRITES: u128 = 6;
const SHORT_WRITES: u32 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_plane_goes_on_at_the_other_control_plane_and_misses_nothing() {
    let mut planes = Planes::new(Database::Postgres);
    let mut second = planes.control.beside(&planes.pair);
    planes.control.node.start().await;
    second.node.start().await;
    planes.gateway = Gateway::new(&[&planes.control, &second], &planes.pair);
    planes.gateway.node.start().await;
    planes.serve("/steady").await;
    let (mut first, second) = leader(&planes.gateway, planes.control, second).await;
    let store = Store::open(&second.database()).await.unwrap();
    let port = planes.origin.address().port();
    let shared = Service { port, ..crate::store::service(1, "shared") };
    let revision = crate::store::insert(&store, &shared).await.unwrap();
    in_sync_at(&first, &planes.gateway, revision).await;
    let (before, traffic) = (snapshots(&second).await, Traffic::start(&planes.gateway.proxy(), "/steady", 2));

    let killed = async {
        sleep(2 * LONG).await;
        first.node.kill9();
    };
    tokio::join!(killed, short_writes(&second), join_all((0..LONG_WRITERS).map(|n| long_writes(&store, n))));

    let head = store.head().await.unwrap().revision;
    let revision = in_sync_at(&second, &planes.gateway, head).await;
    assert_eq!(snapshots(&second).await, before, "it went on by deltas");
    traffic.end().await;
    let log = store.changes(0, revision).await.unwrap();
    assert!(log.iter().map(|change| change.revision).eq(1..=revision), "the log has a gap");
    let long = (0..LONG_WRITERS).flat_map(|writer| (0..LONG_WRITES).map(move |n| long_path(writer, n)));
    for path in (0..SHORT_WRITES).map(short_path).chain(long) {
        planes.gateway.proxy().get(&path).await.unwrap().expect(200);
    }
}

/// Returns the two control planes, first the one that the data plane is connected to.
async fn leader(gateway: &Gateway, one: Control, other: Control) -> (Control, Control) {
    let status = gateway.node.status_view().await;
    let connected = status["sync"]["control_plane"].as_str().unwrap().to_owned();
    assert_eq!(status["sync"]["connected"], true, "{status}");
    if connected == one.cluster().to_string() { (one, other) } else { (other, one) }
}

/// Writes through the surviving control plane, without a pause.
async fn short_writes(control: &Control) {
    let admin = control.admin();
    for n in 0..SHORT_WRITES {
        let body = json!({ "paths": [short_path(n)] });
        admin.post("/services/shared/routes", &body).await.unwrap().expect(201);
        sleep(Duration::from_millis(10)).await;
    }
}

/// Runs transactions that stay open for long before they commit.
async fn long_writes(store: &Store, writer: u128) {
    for n in 0..LONG_WRITES {
        let mut edit = store.edit(&Author::default()).await.unwrap();
        let paths = Some(vec![long_path(writer, n)]);
        let route = Route { paths, ..crate::store::route(1000 * (writer + 1) + n, 1) };
        edit.make(vec![crate::store::put_route(&route)]).await.unwrap();
        sleep(LONG).await;
        edit.commit().await.unwrap();
    }
}

fn short_path(n: u32) -> String {
    format!("/short-{n}/")
}

fn long_path(writer: u128, n: u128) -> String {
    format!("/long-{writer}-{n}/")
}
