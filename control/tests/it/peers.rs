//! Data planes on slow lines, two with one node id, and connections that send no hello.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::plane::{DEADLINE, Database, Gateway, Planes};
use testkit::relay::Relay;
use testkit::wait;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

/// 256 kbit/s: a frame takes 8 s.
const SLOW: u64 = 32_000;
const HEARTBEAT: &str = "3s";
/// Bytes per second of a line that is cut: so few that those on their way are few.
const FAST: u64 = 400_000;
/// What such a line carries until it is cut.
const CARRIES: u64 = 96 * 1024;
/// With these routes a snapshot has 400 kB, compressed.
const ROUTES: u32 = 200;
const PATHS: usize = 100;
const SILENT: usize = 600;

/// A control plane whose snapshot has 400 kB, with a route at `/last`.
async fn large() -> Planes {
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.set("cluster.heartbeat_interval", HEARTBEAT);
    planes.control.node.start().await;
    let admin = planes.control.admin();
    let service = json!({ "name": "s", "url": planes.origin.url() });
    admin.post("/services", &service).await.unwrap().expect(201);
    for _ in 0..ROUTES {
        let paths: Vec<_> = std::iter::repeat_with(|| format!("/{}", Uuid::new_v4())).take(PATHS).collect();
        admin.post("/services/s/routes", &json!({ "paths": paths })).await.unwrap().expect(201);
    }
    admin.post("/services/s/routes", &json!({ "paths": ["/last"] })).await.unwrap().expect(201);
    planes
}

/// The line is cut whenever it has carried 96 KiB, and changes are written meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_over_a_line_that_is_cut_again_and_again_arrives() {
    let mut planes = large().await;
    let relay = Relay::start(planes.control.cluster().address());
    relay.limit(FAST);
    let mut gateway = Gateway::at(&relay.address().to_string(), &planes.pair);
    gateway.node.set("cluster.heartbeat_interval", HEARTBEAT);
    gateway.node.spawn();
    let (admin, mut carried, mut cuts) = (planes.control.admin(), 0, 0);
    wait::eventually(Duration::from_secs(180), || {
        if relay.relayed() >= carried + CARRIES {
            relay.cut();
            (carried, cuts) = (relay.relayed(), cuts + 1);
        }
        let (admin, gateway, cuts) = (&admin, &gateway, cuts);
        async move {
            let paths = json!({ "name": "moving", "paths": [format!("/cut-{cuts}")] });
            let written = admin.put("/services/s/routes/moving", &paths).await?;
            ensure!(written.status < 300, "{}", written.text());
            let status = gateway.proxy().get("/last").await?.status;
            ensure!(status == 200, "{status} after {cuts} cuts");
            Ok(())
        }
    })
    .await;
    assert!(cuts >= 3, "{cuts} cuts");
    assert!(relay.relayed() < 1_000_000, "{} bytes for a snapshot of 400 kB", relay.relayed());
    gateway.node.stop().await;
    planes.control.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_over_a_slow_line_arrives_on_the_first_connection() {
    let mut planes = large().await;
    let relay = Relay::start(planes.control.cluster().address());
    relay.limit(SLOW);
    let mut gateway = Gateway::at(&relay.address().to_string(), &planes.pair);
    gateway.node.set("cluster.heartbeat_interval", HEARTBEAT);
    gateway.node.spawn();
    wait::eventually(Duration::from_secs(180), || async {
        let status = gateway.proxy().get("/last").await?.status;
        ensure!(status == 200, "{status}: {}", gateway.node.log());
        Ok(())
    })
    .await;
    assert!(relay.relayed() > 300_000, "{} bytes are no slow snapshot", relay.relayed());
    assert!(!gateway.node.log().contains("no control plane"), "{}", gateway.node.log());
    gateway.node.stop().await;
    planes.control.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_data_planes_with_one_node_id_are_shown_and_never_counted_as_applied() {
    let mut planes = Planes::start(Database::Sqlite).await;
    planes.serve("/").await;
    let mut second = Gateway::new(&[&planes.control], &planes.pair);
    std::fs::copy(planes.gateway.state().join("node_id"), second.state().join("node_id")).unwrap();
    second.node.spawn();
    shown(&planes, "conflict").await;
    let service = json!({ "host": "example.com" });
    let admin = planes.control.admin();
    let answer = admin.post("/services?wait=applied", &service).await.unwrap().expect(201);
    assert_eq!(answer.header("gibbon-applied"), Some("false"));
    assert!(answer.header("gibbon-pending").unwrap().contains("same node id"), "{answer:?}");
    let refused = "gibbon_cluster_handshakes_refused_total{reason=\"node_id_in_use\"}";
    assert!(planes.control.node.metric(refused).await >= 1.0);
    planes.control.node.wait_log("two data planes use one node id").await;
    second.node.wait_log("used by another process").await;

    planes.gateway.node.stop().await;
    second.wait_for("/", 200).await;
    shown(&planes, "synced").await;
    second.node.stop().await;
    planes.control.node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_no_data_plane_out() {
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.start().await;
    let address = planes.control.cluster().address();
    let mut silent = JoinSet::new();
    for _ in 0..SILENT {
        let mut stream = TcpStream::connect(address).await.unwrap();
        silent.spawn(async move { stream.read_u8().await.ok() });
    }
    // The deadline of one handshake alone is 5 s.
    planes.gateway.node.start().await;
    planes.serve("/").await;
    silent.shutdown().await;
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}

async fn shown(planes: &Planes, state: &str) {
    wait::eventually(DEADLINE, || async {
        let list = planes.control.admin().get("/clustering/data-planes").await?.json();
        let states: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|row| &row["state"]).collect();
        ensure!(states == [state], "{list}");
        Ok(())
    })
    .await;
}
