//! One connection for days, under a paused clock: its driver wakes with the heartbeats and no more often.

use std::pin::pin;

use node::identity::{Files, IdentityReloader, Mode, Role};
use node::link::{Closing, pair, slow_pair};
use tempfile::TempDir;
use testkit::turns::polls_within;
use uuid::Uuid;
use wire::{Hello, Root, VERSIONS};

use super::super::admission::Admission;
use super::*;
use crate::metrics::Metrics;
use crate::publish;
use crate::store::Store;

const HEARTBEAT: Duration = Duration::from_secs(30);
const DAYS: Duration = Duration::from_secs(2 * 24 * 3600);
/// One each way, and the check of the certificate's expiry, every 30 s.
const TURNS_PER_HEARTBEAT: u64 = 8;

/// A control plane without a listener.
struct Stage {
    _folder: TempDir,
    context: Context,
    admission: Admission,
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
        let reloader = IdentityReloader::open(files).unwrap();
        let peer = Peer {
            address: ([127, 0, 0, 1], 1).into(),
            certificate: reloader.identity().leaf().clone(),
            uri: "/".parse().unwrap(),
        };
        let publisher =
            Publisher::start(store.clone(), metrics.clone(), publish::Settings::default()).await.unwrap();
        let (admission, _) = Admission::start(reloader, store, metrics.clone()).await.unwrap();
        let node_id = Uuid::from_u128(2);
        let context = Context {
            identity: Identity { node_id, program: "0.1.0".into() },
            timing: Timing {
                heartbeat: HEARTBEAT,
                ack: Duration::from_secs(600),
                hello: Duration::from_secs(10),
            },
            registry: Registry::new(node_id, HEARTBEAT, metrics.clone(), publisher.head()),
            publisher,
            metrics,
        };
        Self { _folder: folder, context, admission, peer }
    }

    async fn serve(&self, link: Link) {
        let permit = self.admission.admit(&self.peer.certificate).unwrap();
        serve(link, self.peer.clone(), permit, self.context.clone(), CancellationToken::new()).await;
    }

    /// The row of the only data plane.
    fn row(&self) -> entity::data_plane::Model {
        self.context.registry.rows().remove(0)
    }

    fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            node_id: Uuid::from_u128(3),
            hostname: "edge".into(),
            version: "0.1.0".into(),
            kinds: model::KINDS.iter().map(|kind| kind.kind().0).collect(),
            fields: Vec::new(),
            labels: Default::default(),
            held: Some(*self.context.publisher.head().borrow()),
            instance: None,
            partial: None,
        }
    }
}

/// A data plane that holds the head and reports it.
async fn beat(link: Link, hello: Hello) {
    let held = hello.held.unwrap();
    beat_as(link, hello, held).await;
}

async fn beat_as(mut link: Link, hello: Hello, held: Position) {
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
    let mut both = pin!(async { tokio::join!(stage.serve(link), beat(data_plane, stage.hello())) });
    let heartbeats = DAYS.as_secs() / HEARTBEAT.as_secs();
    polls_within(DAYS, heartbeats * TURNS_PER_HEARTBEAT, both.as_mut()).await;
    let row = stage.row();
    assert!(row.connected && row.state == "synced", "{row:?}");
}

#[tokio::test]
async fn data_plane_that_is_silent_amid_an_update_is_gone_after_one_and_a_half_heartbeats() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let (mut data_plane, link) = pair().await;
    let hello = Hello { held: None, ..stage.hello() };
    data_plane.send(Frame::Hello(hello).encode()).await.unwrap();
    let begun = Instant::now();
    let silent = async {
        while let Ok(Some(_)) = data_plane.recv().await {}
        data_plane
    };
    let ((), data_plane) = tokio::join!(stage.serve(link), silent);
    assert!((HEARTBEAT * 3 / 2..HEARTBEAT * 8 / 5).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert!(matches!(data_plane.closing(), Closing::Code(4004, _)), "{:?}", data_plane.closing());
    assert_eq!((stage.row().connected, stage.context.registry.pending(0).len()), (false, 0));
}

/// An answer that takes minutes, and heartbeats that cannot pass it.
#[tokio::test]
async fn slow_data_plane_is_alive_while_bytes_come_and_gone_after_them() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let (mut data_plane, link) = slow_pair(50).await;
    let held = Position { root: Root([7; 32]), ..*stage.context.publisher.head().borrow() };
    data_plane.queue(Frame::Hello(Hello { held: Some(held), ..stage.hello() }).encode());
    let begun = Instant::now();
    let slow = async {
        loop {
            let message = data_plane.recv().await.unwrap().expect("the control plane has closed");
            if let Frame::BucketsWanted(_) = Frame::decode(&message).unwrap() {
                break;
            }
        }
        let asked = begun.elapsed();
        data_plane.queue(Frame::Buckets(held.revision, vec![Root::default(); wire::BUCKETS]).encode());
        let answered = loop {
            let message = data_plane.recv().await.unwrap().expect("the control plane has closed");
            if let Frame::Update(..) = Frame::decode(&message).unwrap() {
                break begun.elapsed();
            }
        };
        // Silent from here on.
        while let Ok(Some(_)) = data_plane.recv().await {}
        (answered - asked, data_plane.closing().clone())
    };
    let ((), (took, closing)) = tokio::join!(stage.serve(link), slow);
    assert!(took > 4 * HEARTBEAT, "{took:?}");
    assert!(matches!(closing, Closing::Code(4004, _)), "{closing:?}");
    assert!(!stage.row().connected);
}

#[tokio::test]
async fn data_plane_that_beats_has_time_to_apply_an_update() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let (data_plane, link) = pair().await;
    let hello = Hello { held: None, ..stage.hello() };
    // It never acknowledges the snapshot.
    let busy = beat_as(data_plane, hello, Position::default());
    let both = async { tokio::join!(stage.serve(link), busy) };
    polls_within(Duration::from_secs(590), 400, both).await;
}

#[tokio::test]
async fn message_that_is_no_frame_is_answered_with_the_code_of_the_protocol() {
    for message in [&b""[..], b"\x7f", b"\x01{", b"\x05{}"] {
        let stage = Stage::new().await;
        let (mut data_plane, link) = pair().await;
        data_plane.send(message.into()).await.unwrap();
        let (received, ()) = tokio::join!(data_plane.recv(), stage.serve(link));
        assert_eq!(received.unwrap(), None);
        assert!(matches!(data_plane.closing(), Closing::Code(4000, _)), "{:?}", data_plane.closing());
        assert_eq!(stage.context.metrics.unreadable_frames.get(), 1);
    }
}

#[tokio::test]
async fn second_process_takes_over_from_a_first_that_does_not_answer_a_ping() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let process = |instance| Hello { instance: Some(Uuid::from_u128(instance)), ..stage.hello() };
    let (mut frozen, first) = pair().await;
    frozen.send(Frame::Hello(process(1)).encode()).await.unwrap();
    let begun = Instant::now();
    let second = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (mut data_plane, link) = pair().await;
            data_plane.send(Frame::Hello(process(2)).encode()).await.unwrap();
            let serving = stage.serve(link);
            let welcomed = async {
                match data_plane.recv().await.unwrap() {
                    Some(message) => {
                        assert!(matches!(Frame::decode(&message), Ok(Frame::Welcome(_))))
                    }
                    None => {
                        assert!(matches!(data_plane.closing(), Closing::Code(4007, _)));
                        return false;
                    }
                }
                true
            };
            tokio::select! {
                biased;
                true = welcomed => return begun.elapsed(),
                () = serving => {}
            }
        }
    };
    let ((), took) = tokio::join!(stage.serve(first), second);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn second_process_is_refused_while_the_first_answers() {
    let stage = Stage::new().await;
    tokio::time::pause();
    let process = |instance| Hello { instance: Some(Uuid::from_u128(instance)), ..stage.hello() };
    let (alive, first) = pair().await;
    let second = async {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let (mut data_plane, link) = pair().await;
            data_plane.send(Frame::Hello(process(2)).encode()).await.unwrap();
            let ((), received) = tokio::join!(stage.serve(link), data_plane.recv());
            assert_eq!(received.unwrap(), None);
            assert!(matches!(data_plane.closing(), Closing::Code(4007, _)), "{:?}", data_plane.closing());
            assert_eq!(stage.row().state, "conflict");
            assert_eq!(stage.context.registry.pending(0).len(), 1, "the second lacks the change");
        }
    };
    let all = async { tokio::join!(stage.serve(first), beat(alive, process(1)), second) };
    polls_within(Duration::from_secs(600), 6000, all).await;
}
