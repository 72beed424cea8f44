//! Runs the driver for days under a paused clock: it wakes for heartbeats and checks of its files, and no
//! more often.

mod health;

use std::cell::Cell;
use std::path::Path;
use std::pin::pin;

use node::identity::{Files, Mode, Role};
use node::link::{pair, slow_pair};
use tempfile::TempDir;
use testkit::turns::polls_within;
use tokio::sync::mpsc;
use uuid::Uuid;
use wire::{EncodedUpdate, Key, Kind, Position, Welcome};

use super::super::Settings;
use super::super::cache::tests::{Source, noise};
use super::*;
use crate::live::Live;
use crate::metrics::Metrics;

const HEARTBEAT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// A data plane whose control planes are in memory.
struct Stage {
    folder: TempDir,
    agent: Agent,
    stop: CancellationToken,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = Arc::new(Live::new());
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().sync;
        let agent =
            Agent::open(settings(folder.path()), live, Arc::default(), metrics, Arc::default()).unwrap();
        Self { folder, agent, stop: CancellationToken::new() }
    }
}

fn settings(folder: &Path) -> Settings {
    let pair = testkit::certs::valid(folder, "cluster");
    let identity =
        Files { mode: Mode::Shared, role: Role::DataPlane, certificate: pair.cert, key: pair.key, ca: None };
    Settings {
        control_planes: ["a:8005", "b:8005", "c:8005"].map(str::to_owned).to_vec(),
        identity,
        heartbeat: HEARTBEAT,
        state_dir: folder.join("state"),
        hostname: "edge".into(),
        version: "0.1.0".into(),
        labels: Default::default(),
    }
}

fn welcome() -> Frame {
    let (version, node_id, program) = (1, Uuid::from_u128(2), "fake".into());
    let heartbeat_ms = u64::try_from(HEARTBEAT.as_millis()).unwrap();
    Frame::Welcome(Welcome { version, node_id, program, head: Position::default(), heartbeat_ms })
}

/// A control plane with nothing to send.
async fn beat(mut link: Link) {
    let head = Position::default();
    link.send(welcome().encode()).await.unwrap();
    let mut ticks = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            _ = ticks.tick() => link.send(Frame::Heartbeat(head).encode()).await.unwrap(),
            message = link.recv() => drop(message.unwrap().expect("the data plane has closed")),
        }
    }
}

#[tokio::test]
async fn connection_of_two_days_turns_with_its_heartbeats() {
    let mut stage = Stage::new();
    tokio::time::pause();
    let (dialled, mut accepted) = mpsc::unbounded_channel();
    let dial = async |_: &str, _| {
        let (link, theirs) = pair().await;
        dialled.send(theirs).unwrap();
        Ok(link)
    };
    let status = stage.agent.status.clone();
    let control_plane = async {
        beat(accepted.recv().await.unwrap()).await;
    };
    let both = async { tokio::join!(run_over(dial, &mut stage.agent, &stage.stop), control_plane) };
    // One check of the certificate files each second; a heartbeat each way.
    let looks = 48 * HOUR.as_secs() / POLL.as_secs();
    polls_within(48 * HOUR, looks * 5 / 4, both).await;
    assert!(status.view().connected);
}

#[tokio::test]
async fn certificate_that_changes_after_a_day_is_read_within_a_second_and_once() {
    let mut stage = Stage::new();
    tokio::time::pause();
    let (dialled, mut accepted) = mpsc::unbounded_channel();
    let dial = async |_: &str, _| {
        let (link, theirs) = pair().await;
        dialled.send(theirs).unwrap();
        Ok(link)
    };
    let reloads = stage.agent.metrics.certificate_reloads.clone();
    let files = stage.agent.settings.identity.clone();
    let other = testkit::certs::valid(stage.folder.path(), "other");
    let control_plane = async {
        beat(accepted.recv().await.unwrap()).await;
    };
    let mut both = pin!(async { tokio::join!(run_over(dial, &mut stage.agent, &stage.stop), control_plane) });
    let day = 24 * HOUR;
    polls_within(day, day.as_secs() * 5 / 4, both.as_mut()).await;
    assert_eq!(reloads.with_label_values(&["done"]).get(), 0);
    std::fs::copy(&other.cert, &files.certificate).unwrap();
    std::fs::copy(&other.key, &files.key).unwrap();
    polls_within(2 * POLL, 10, both.as_mut()).await;
    assert_eq!(reloads.with_label_values(&["done"]).get(), 1);
    polls_within(day, day.as_secs() * 5 / 4, both.as_mut()).await;
    let refused = reloads.with_label_values(&["refused"]).get();
    assert_eq!((reloads.with_label_values(&["done"]).get(), refused), (1, 0));
}

/// A snapshot that takes eight minutes, and heartbeats that cannot pass it.
#[tokio::test]
async fn slow_line_is_alive_while_bytes_come_and_dead_after_them() {
    let mut stage = Stage::new();
    tokio::time::pause();
    // Of a kind that is only hashed.
    let key = Key { kind: Kind(199), id: Uuid::from_u128(1) };
    let update = Source::default().put(wire::Mode::Snapshot, key, Some(&noise(500_000)));
    let (dialled, mut accepted) = mpsc::unbounded_channel();
    let dial = async |_: &str, _| {
        let (link, theirs) = slow_pair(1000).await;
        dialled.send(theirs).unwrap();
        Ok(link)
    };
    let begun = Instant::now();
    let control_plane = async {
        let mut link: Link = accepted.recv().await.unwrap();
        link.queue(welcome().encode());
        EncodedUpdate::new(&update).frames.into_iter().for_each(|frame| link.queue(frame));
        let acked = loop {
            match Frame::decode(&link.recv().await.unwrap().expect("the data plane has closed")).unwrap() {
                Frame::Ack(ack) => break (begun.elapsed(), ack.held),
                Frame::Hello(_) | Frame::Heartbeat(_) => {}
                other => panic!("{other:?}"),
            }
        };
        // Silent from here on.
        while let Ok(Some(_)) = link.recv().await {}
        (acked, begun.elapsed(), link.closing().clone())
    };
    let ((took, held), silent, closing) = tokio::select! {
        () = run_over(dial, &mut stage.agent, &stage.stop) => panic!("it has ended"),
        seen = control_plane => seen,
    };
    assert_eq!(held, update.header.position());
    assert!((480..600).contains(&took.as_secs()), "{took:?}");
    assert!((HEARTBEAT..HEARTBEAT * 8 / 5).contains(&(silent - took)), "{:?}", silent - took);
    assert!(matches!(closing, Closing::Code(4004, _)), "{closing:?}");
}

#[tokio::test]
async fn control_planes_that_are_away_are_dialled_in_turn_with_pauses() {
    let mut stage = Stage::new();
    tokio::time::pause();
    let dialled = ["a:8005", "b:8005", "c:8005"].map(|address| (address, Cell::new(0_u32)));
    let dial = async |address: &str, _| {
        let (_, times) = dialled.iter().find(|(known, _)| *known == address).unwrap();
        times.set(times.get() + 1);
        Err(LinkError::Timeout)
    };
    // Pauses of 2.5 s in the mean, each with checks of the files.
    polls_within(HOUR, 6 * HOUR.as_secs(), run_over(dial, &mut stage.agent, &stage.stop)).await;
    let times: Vec<u32> = dialled.iter().map(|(_, times)| times.get()).collect();
    assert!(times.iter().all(|times| (380..620).contains(times)), "{times:?}");
    assert!(times.iter().max().unwrap() - times.iter().min().unwrap() <= 1, "{times:?}");
}

#[tokio::test]
async fn control_plane_that_says_nothing_is_left_after_one_and_a_half_heartbeats() {
    let mut stage = Stage::new();
    tokio::time::pause();
    let (dialled, mut accepted) = mpsc::unbounded_channel();
    let dial = async |_: &str, _| {
        let (link, theirs) = pair().await;
        dialled.send(theirs).unwrap();
        Ok(link)
    };
    let control_plane = async {
        let mut link: Link = accepted.recv().await.unwrap();
        let heartbeat_ms = u64::try_from(HEARTBEAT.as_millis()).unwrap();
        let welcome = Welcome {
            version: 1,
            node_id: Uuid::from_u128(2),
            program: "fake".into(),
            head: Position::default(),
            heartbeat_ms,
        };
        link.send(Frame::Welcome(welcome).encode()).await.unwrap();
        let begun = Instant::now();
        while let Ok(Some(_)) = link.recv().await {}
        (link, begun.elapsed())
    };
    let (link, silent) = tokio::select! {
        () = run_over(dial, &mut stage.agent, &stage.stop) => unreachable!("nobody stops it"),
        ended = control_plane => ended,
    };
    assert!((HEARTBEAT * 3 / 2..HEARTBEAT * 8 / 5).contains(&silent), "{silent:?}");
    assert!(matches!(link.closing(), Closing::Code(4004, _)), "{:?}", link.closing());
}

#[tokio::test]
async fn stop_says_goodbye() {
    let mut stage = Stage::new();
    let (dialled, mut accepted) = mpsc::unbounded_channel();
    let dial = async |_: &str, _| {
        let (link, theirs) = pair().await;
        dialled.send(theirs).unwrap();
        Ok(link)
    };
    let stop = stage.stop.clone();
    let control_plane = async {
        let mut link: Link = accepted.recv().await.unwrap();
        link.recv().await.unwrap().expect("a hello");
        stop.cancel();
        link.recv().await.unwrap();
        link
    };
    let ((), link) = tokio::join!(run_over(dial, &mut stage.agent, &stage.stop), control_plane);
    assert!(matches!(link.closing(), Closing::Code(4005, _)), "{:?}", link.closing());
}
