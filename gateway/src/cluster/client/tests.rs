//! Runs the driver for days under a paused clock: it wakes for heartbeats and checks of its files, and no
//! more often.
//! oftener.

use std::cell::Cell;
use std::path::Path;

use node::identity::{Files, Mode, Role};
use node::link::pair;
use tempfile::TempDir;
use testkit::turns::polls_within;
use tokio::sync::mpsc;
use uuid::Uuid;
use wire::{Position, Welcome};

use super::super::Settings;
use super::*;
use crate::live::Live;
use crate::metrics::Metrics;

const HEARTBEAT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// A data plane whose control planes are in memory.
struct Stage {
    _folder: TempDir,
    agent: Agent,
    stop: CancellationToken,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = Arc::new(Live::new());
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap().sync;
        let agent = Agent::open(settings(folder.path()), live, metrics, Arc::default()).unwrap();
        Self { _folder: folder, agent, stop: CancellationToken::new() }
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

/// A control plane with nothing to send.
async fn beat(mut link: Link) {
    let (version, node_id, program) = (1, Uuid::from_u128(2), "fake".into());
    let head = Position::default();
    let heartbeat_ms = u64::try_from(HEARTBEAT.as_millis()).unwrap();
    let welcome = Welcome { version, node_id, program, head, heartbeat_ms };
    link.send(Frame::Welcome(welcome).encode()).await.unwrap();
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
