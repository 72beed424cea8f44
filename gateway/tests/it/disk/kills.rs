//! The program is killed at any moment after a push, and the control plane is absent at the next start. It
//! always serves a configuration that it has acknowledged, or the one in flight; never another, never none.

use std::time::Duration;

use wire::{Frame, Mode};

use super::{Stage, send};
use crate::control_plane::Connected;

/// The kill comes up to this many microseconds after the push.
const WINDOW_US: u64 = 50_000;
/// One of this many pushes is a snapshot.
const SNAPSHOTS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_serves_what_it_acknowledged() {
    let rounds = std::env::var("GIBBON_TEST_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let (mut stage, mut connected) = Stage::started().await;
    let (mut served, mut in_flight, mut older) = (1, 0, 0);
    for round in 1..=rounds {
        let mode = if round % SNAPSHOTS == 0 { Mode::Snapshot } else { Mode::Delta };
        let update = stage.next(mode);
        send(&mut connected, &update).await;
        // Spread over the window, with every second kill in its first tenth, where most writes happen.
        let delay = round * 7_919_333 % WINDOW_US / if round % 2 == 0 { 1 } else { 10 };
        tokio::time::sleep(Duration::from_micros(delay)).await;
        stage.control_ends();
        stage.gateway.node.kill9();
        let acked = acknowledged(connected).await.unwrap_or(served);

        stage.gateway.node.start().await;
        let now = stage.sync().await["revision"].as_u64().unwrap();
        let context = format!("round {round}, {mode:?}, killed after {delay} us, acked {acked}");
        stage.serves(now, &context).await;
        // A snapshot is written after its ack: the one acknowledged before it may serve.
        let oldest = if mode == Mode::Snapshot { served } else { acked };
        assert!((oldest..=update.header.to).contains(&now), "{context}, serves {now}");
        in_flight += u64::from(now > acked);
        older += u64::from(now < acked);

        connected = stage.welcome().await;
        assert_eq!(connected.hello.held, Some(stage.position(now)), "{context}");
        served = now;
        if now < update.header.to {
            connected.update(&update).await.unwrap();
            served = update.header.to;
        }
        if mode == Mode::Snapshot {
            // While it is being written, acks run ahead of the disk.
            stage.wait_on_disk(served).await;
        }
    }
    println!(
        "{rounds} rounds: {in_flight} served what was in flight, {older} what was acked before the last"
    );
}

/// The revision that was acknowledged on this connection, if any was.
async fn acknowledged(mut connected: Connected) -> Option<u64> {
    let mut acked = None;
    while let Some(frame) = connected.next_or_end().await {
        if let Frame::Ack(ack) = frame {
            acked = Some(ack.held.revision);
        }
    }
    acked
}
