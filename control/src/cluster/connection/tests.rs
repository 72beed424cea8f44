//! The driver of one connection for days, under a paused clock: it turns with the heartbeats and no oftener.

use node::identity::{Files, Keeper, Mode, Role};
use node::link::pair;
use tempfile::TempDir;
use testkit::turns::polls_within;
use uuid::Uuid;
use wire::{Hello, VERSIONS};

use super::super::guard::Guard;
use super::*;
use crate::metrics::Metrics;
use crate::store::Store;

const HEARTBEAT: Duration = Duration::from_secs(30);
const DAYS: Duration = Duration::from_secs(2 * 24 * 3600);
/// One each way, and what the certificate's expiry is looked at, every 30 s.
const TURNS_PER_HEARTBEAT: u64 = 8;

/// A control plane without a listener.
struct Stage {
    _folder: TempDir,
    context: Context,
    guard: Guard,
    peer: Peer,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/control.db?mode=rwc", folder.path().display());
        let store = Store::open(&url).await.unwrap();
        store.migrate(&url).await.unwrap();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().cluster;
        let pair = testkit::certs::valid(folder.path(), "cluster");
        let files = Files {
            mode: Mode::Shared,
            role: Role::ControlPlane,
            certificate: pair.cert,
            key: pair.key,
            ca: None,
        };
        let keeper = Keeper::open(files).unwrap();
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            certificate: keeper.identity().leaf().clone(),
            uri: "/".parse().unwrap(),
        };
        let publisher = Publisher::start(store.clone(), metrics.clone()).await.unwrap();
        let (guard, _) = Guard::start(keeper, store, metrics.clone()).await.unwrap();
        let node_id = Uuid::from_u128(2);
        let context = Context {
            identity: Identity { node_id, program: "0.1.0".into() },
            timing: Timing {
                heartbeat: HEARTBEAT,
                ack: Duration::from_secs(60),
                hello: Duration::from_secs(10),
            },
            registry: Registry::new(node_id, metrics.clone(), publisher.head()),
            publisher,
            metrics,
        };
        Self { _folder: folder, context, guard, peer }
    }

    async fn serve(&self, link: Link) {
        let permit = self.guard.admit(&self.peer.certificate).unwrap();
        serve(link, self.peer.clone(), permit, self.context.clone(), CancellationToken::new()).await;
    }

    fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            node_id: Uuid::from_u128(3),
            hostname: "edge".into(),
            version: "0.1.0".into(),
            kinds: Vec::new(),
            labels: Default::default(),
            held: Some(*self.context.publisher.head().borrow()),
        }
    }
}

/// A data plane that holds what it should and says so.
async fn beat(mut link: Link, hello: Hello) {
    let held = hello.held.unwrap();
    link.send(Frame::Hello(hello).encode()).await.unwrap();
    let mut ticks = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            _ = ticks.tick() => link.send(Frame::Heartbeat(held).encode()).await.unwrap(),
            message = link.recv() => drop(message.unwrap().expect("the control plane has closed")),
        }
    }
}

#[tokio::test]
async fn connection_of_two_days_turns_with_its_heartbeats() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let (data_plane, link) = pair().await;
    let both = async { tokio::join!(stage.serve(link), beat(data_plane, stage.hello())) };
    let heartbeats = DAYS.as_secs() / HEARTBEAT.as_secs();
    polls_within(DAYS, heartbeats * TURNS_PER_HEARTBEAT, both).await;
    let rows = stage.context.registry.rows();
    assert!(rows.iter().all(|row| row.connected && row.state == "synced") && rows.len() == 1, "{rows:?}");
}
