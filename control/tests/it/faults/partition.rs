//! The network between a data plane and its control plane is cut, both ways and one way, and healed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use testkit::http::Client;
use testkit::network::{Cut, NEAR, Network};
use testkit::origin::Origin;
use testkit::plane::{Database, Gateway, Planes};
use testkit::wait;
use tokio::time::{Instant, sleep_until};

use super::{Traffic, seconds, snapshots};

/// A silence of 1.5 heartbeats of 1 s ends a connection, counted from the last heartbeat that arrived. A
/// second is left for the closing handshake, and then the machine's slack.
const NOTICED: Duration = Duration::from_millis(1000 + 1500 + 1000 + 1500);
/// The next packet of an attempt in progress is sent within 4 s. Otherwise the attempt ends within 3 s and
/// the longest delay of the backoff follows. The rest is the machine's slack.
const BACK: Duration = Duration::from_secs(3 + 5 + 2);

#[tokio::test(flavor = "current_thread")]
async fn a_data_plane_serves_on_when_nothing_gets_through() {
    cut_and_heal(Cut::Both).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_data_plane_serves_on_when_nothing_reaches_it() {
    cut_and_heal(Cut::FromNear).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_data_plane_serves_on_when_nothing_comes_from_it() {
    cut_and_heal(Cut::FromFar).await;
}

/// The control plane is on the near side, the data plane with its origin and its clients on the far one.
async fn cut_and_heal(cut: Cut) {
    let network = Arc::new(Network::enter());
    let (mut planes, stage) = (Planes::new(Database::Sqlite), &network);
    let cluster = format!("{NEAR}:{}", planes.control.cluster().number());
    planes.control.node.set("cluster.listen", &cluster);
    planes.control.node.start().await;
    let mut gateway = Gateway::at(&cluster, &planes.pair);
    let origin = stage.far(|| {
        gateway.node.spawn();
        on_this_side(gateway.node.wait_ready());
        Origin::start()
    });
    write(&planes, &origin, "/before").await;
    served(stage, &gateway, "/before");
    let encoded = snapshots(&planes.control).await;

    let end = Instant::now() + seconds("GIBBON_TEST_PARTITION", 4);
    let (far, proxy) = (network.clone(), gateway.proxy());
    let clients = std::thread::spawn(move || {
        far.far(|| {
            on_this_side(async {
                let traffic = Traffic::start(&proxy, "/before", 2);
                sleep_until(end).await;
                traffic.end().await
            })
        })
    });
    stage.cut(cut);
    connected(&planes, stage, &gateway, false).await;
    write(&planes, &origin, "/meanwhile").await;
    let answers = clients.join().unwrap();
    stage.far(|| on_this_side(async { gateway.proxy().get("/meanwhile").await.unwrap().expect(404) }));

    stage.heal();
    let healed = Instant::now();
    connected(&planes, stage, &gateway, true).await;
    served(stage, &gateway, "/meanwhile");
    eprintln!("{cut:?}: {answers} answers, back after {:?}", healed.elapsed());
    assert_eq!(snapshots(&planes.control).await, encoded, "it went on by a delta");
    stage.far(|| drop(gateway));
}

/// Runs this in the calling thread, and so on its side of the network.
fn on_this_side<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

/// Creates a route to the origin, which is beside the data plane.
async fn write(planes: &Planes, origin: &Origin, path: &str) {
    let admin = planes.control.admin();
    let service =
        admin.put("/services/far", &json!({ "url": origin.url() })).await.unwrap().expect(200).json();
    let route = json!({ "paths": [path], "service": { "id": service["id"] } });
    admin.post("/routes", &route).await.unwrap().expect(201);
}

/// Waits until both sides show this state.
async fn connected(planes: &Planes, network: &Network, gateway: &Gateway, expected: bool) {
    let begun = Instant::now();
    let within = if expected { BACK } else { NOTICED };
    let admin = planes.control.admin();
    wait::eventually(within, || async {
        let rows = admin.get("/clustering/data-planes").await?.expect(200).json();
        anyhow::ensure!(rows["data"][0]["connected"] == expected, "the control plane shows {rows}");
        Ok(())
    })
    .await;
    let within = within.saturating_sub(begun.elapsed());
    let says = |client: Client| async move {
        wait::eventually(within, || async {
            let view = client.get("/status").await?.json();
            anyhow::ensure!(view["sync"]["connected"] == expected, "the data plane shows {view}");
            Ok(())
        })
        .await;
    };
    network.far(|| on_this_side(says(gateway.node.status())));
}

fn served(network: &Network, gateway: &Gateway, path: &str) {
    network.far(|| on_this_side(gateway.wait_for(path, 200)));
}
