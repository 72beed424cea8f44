//! Data planes that freeze or hardly read, and a control plane that comes and goes: the others do not notice.

use std::time::Duration;

use nix::sys::signal::Signal;
use node::identity::{Identity, Pins, Trust, client_config};
use node::link::{self, Link};
use serde_json::json;
use testkit::http::Client;
use testkit::plane::{Control, DEADLINE, Database, Planes};
use testkit::wait;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;
use wire::{Ack, Frame, Hello, Position, UpdateHeader, VERSIONS};

use super::{Traffic, in_sync, snapshots};

const CHANGES: u32 = 500;
/// Changes after which a control plane has allocated everything that it needs once.
const FIRST_CHANGES: u32 = 100;
/// The delay until a change is live at a healthy data plane: half of all changes take less. On a busy machine
/// a single one may take longer.
const SOON: Duration = Duration::from_secs(1);
/// Growth of the control plane's memory allowed after the first changes, in KiB. The control plane keeps 3
/// KiB of each change for all data planes together, and an allocator with huge pages has its slack. A queue
/// for each unresponsive data plane would need 50 MiB.
const GROWTH: u64 = 30 * 1024;
const DEAF: u32 = 50;
/// The content of a change: paths that do not compress.
const PATHS: usize = 60;
/// Delay after which a slow reader reads a frame.
const SLOWLY: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_planes_that_freeze_or_hardly_read_cost_the_others_nothing() {
    let mut planes = Planes::new(Database::Sqlite);
    // Longer than the test: no data plane is disconnected for its silence.
    planes.control.node.set("cluster.heartbeat_interval", "60s");
    planes.control.node.start().await;
    planes.gateway.node.start().await;
    planes.serve("/steady").await;
    let service = json!({ "name": "changed", "url": planes.origin.url() });
    planes.control.admin().post("/services", &service).await.unwrap().expect(201);
    let mut frozen = planes.another_gateway().await;
    in_sync(&planes.control, &frozen).await;
    frozen.node.process_mut().pause();
    let mut rogues = JoinSet::new();
    for _ in 0..DEAF {
        rogues.spawn(deaf(connect(&planes).await));
    }
    rogues.spawn(slow(connect(&planes).await));

    change(&planes, 0..FIRST_CHANGES).await;
    let before = pss(&mut planes.control);
    change(&planes, FIRST_CHANGES..CHANGES).await;
    let growth = pss(&mut planes.control).saturating_sub(before);
    eprintln!("{growth} KiB more than {before}");
    assert!(growth < GROWTH, "{growth} KiB more than {before}");
    assert!(rogues.try_join_next().is_none(), "a rogue has ended");
    let connected = planes.control.node.metric("gibbon_data_planes_connected").await;
    assert_eq!(connected, f64::from(DEAF + 3), "nobody is left behind");

    rogues.shutdown().await;
    let encoded = snapshots(&planes.control).await;
    frozen.node.process_mut().signal(Signal::SIGCONT);
    in_sync(&planes.control, &frozen).await;
    assert_eq!(snapshots(&planes.control).await, encoded, "the frozen one goes on by a delta");
    frozen.proxy().get(&path(CHANGES - 1)).await.unwrap().expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_comes_and_goes_fails_no_request() {
    let mut planes = Planes::start(Database::Sqlite).await;
    planes.serve("/steady").await;
    let service = json!({ "name": "changed", "url": planes.origin.url() });
    planes.control.admin().post("/services", &service).await.unwrap().expect(201);
    let traffic = Traffic::start(&planes.gateway.proxy(), "/steady", 4);
    for round in 0..5 {
        planes.control.node.kill9();
        planes.control.node.start().await;
        let up = Instant::now();
        write(&planes.control.admin(), round).await;
        tokio::time::sleep_until(up + SOON).await;
    }
    in_sync(&planes.control, &planes.gateway).await;
    planes.gateway.proxy().get(&path(4)).await.unwrap().expect(200);
    traffic.end().await;
    assert_eq!(planes.gateway.node.metric("gibbon_config_served_from_disk").await, 0.0);
}

/// Changes a route again and again, and checks that the changes are live in time.
async fn change(planes: &Planes, numbers: std::ops::Range<u32>) {
    let (admin, proxy) = (planes.control.admin(), planes.gateway.proxy());
    let mut took = Vec::new();
    for number in numbers {
        write(&admin, number).await;
        let written = Instant::now();
        wait::eventually(DEADLINE, || async {
            let status = proxy.get(&path(number)).await?.status;
            anyhow::ensure!(status == 200, "change {number} is not live: {status}");
            Ok(())
        })
        .await;
        took.push(written.elapsed());
    }
    took.sort();
    let median = took[took.len() / 2];
    assert!(median < SOON, "{median:?} in the middle of {took:?}");
}

async fn write(admin: &Client, number: u32) {
    let others = std::iter::repeat_with(|| format!("/{}", Uuid::new_v4())).take(PATHS);
    let paths: Vec<_> = others.chain([path(number)]).collect();
    let route = json!({ "paths": paths });
    let answer = admin.put("/services/changed/routes/changed", &route).await.unwrap();
    assert!(answer.status < 300, "{}", answer.text());
}

fn path(number: u32) -> String {
    format!("/change-{number}/")
}

/// Connects a data plane of the real protocol, up to its hello.
async fn connect(planes: &Planes) -> Link {
    let identity = Identity::load(&planes.pair.cert, &planes.pair.key).unwrap();
    let trust = Trust::Pins(Pins::from_iter([identity.fingerprint()]));
    let config = client_config(&identity, &trust).unwrap();
    let mut link = link::connect(&planes.control.cluster().to_string(), config).await.unwrap();
    let hello = Hello {
        versions: VERSIONS,
        node_id: Uuid::new_v4(),
        hostname: "rogue".into(),
        version: "0".into(),
        kinds: model::KINDS.iter().map(|kind| kind.kind().0).collect(),
        fields: Vec::new(),
        labels: Default::default(),
        held: None,
        instance: None,
        partial: None,
    };
    link.send(Frame::Hello(hello).encode()).await.unwrap();
    link
}

/// Never reads.
async fn deaf(link: Link) {
    std::future::pending::<()>().await;
    drop(link);
}

/// Reads slowly, and reports that it holds the received position.
async fn slow(mut link: Link) {
    while let Ok(Some(message)) = link.recv().await {
        sleep(SLOWLY).await;
        if let Ok(Frame::Update(header, _)) = Frame::decode(&message) {
            let ack = Ack { held: position(&header), decode_us: 0, apply_us: 0 };
            link.send(Frame::Ack(ack).encode()).await.unwrap();
        }
    }
}

fn position(header: &UpdateHeader) -> Position {
    Position { epoch: header.epoch, revision: header.to, root: header.root }
}

/// Returns the memory of a control plane, with its share of shared memory, in KiB.
fn pss(control: &mut Control) -> u64 {
    let pid = control.node.process_mut().pid();
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap()
}
