//! Reports of health over a connection.

use wire::{Health, HealthReport, ReportPart};

use super::*;
use crate::cluster::health::tests::FakeSource;

/// A control plane that beats, takes reports and calls `seen` for each of them.
async fn take(mut link: Link, mut seen: impl FnMut(HealthReport)) {
    let head = Position::default();
    link.send(welcome().encode()).await.unwrap();
    let mut ticks = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            _ = ticks.tick() => link.send(Frame::Heartbeat(head).encode()).await.unwrap(),
            message = link.recv() => {
                if let Frame::Health(report) = Frame::decode(&message.unwrap().expect("closed")).unwrap() {
                    seen(report);
                }
            }
        }
    }
}

/// One target changes each minute for a day, after a full report of several frames.
#[tokio::test]
async fn reports_of_a_day_are_as_many_as_the_changes_and_the_full_ones() {
    let mut stage = Stage::new();
    let source = FakeSource::with(10_000);
    (0..5000).for_each(|number| source.set(number, Health::Unhealthy, 1));
    stage.agent.report_health(Arc::clone(&source) as Arc<_>);
    tokio::time::pause();
    let (dialled, mut accepted) = mpsc::unbounded_channel();
    let dial = async |_: &str, _| {
        let (link, theirs) = pair().await;
        dialled.send(theirs).unwrap();
        Ok(link)
    };
    let (full, changes, named) = (Cell::new(0_u64), Cell::new(0_u64), Cell::new(0_usize));
    let control_plane = async {
        let link = accepted.recv().await.unwrap();
        take(link, |report| match report.part {
            ReportPart::Changes => changes.set(changes.get() + 1),
            ReportPart::Full { first, last } => {
                named.set(report.entries.len() + if first { 0 } else { named.get() });
                full.set(full.get() + u64::from(last));
            }
        })
        .await;
    };
    let flapping = async {
        for minute in 0_u64.. {
            tokio::time::sleep(Duration::from_secs(60)).await;
            source.set(7, [Health::Healthy, Health::Unhealthy][usize::from(minute % 2 == 1)], minute);
        }
    };
    let both = async { tokio::join!(run_over(dial, &mut stage.agent, &stage.stop), control_plane, flapping) };
    let looks = 24 * HOUR.as_secs() / POLL.as_secs();
    polls_within(24 * HOUR, looks * 3 / 2, both).await;
    assert!((24 * 10..=24 * 14).contains(&full.get()), "{}", full.get());
    assert!((1435..=1441).contains(&changes.get()), "{}", changes.get());
    assert!((4999..=5000).contains(&named.get()), "{}", named.get());
}

#[tokio::test]
async fn slow_line_carries_fewer_reports_and_its_heartbeats() {
    let mut stage = Stage::new();
    let source = FakeSource::with(10_000);
    stage.agent.report_health(Arc::clone(&source) as Arc<_>);
    tokio::time::pause();
    let (dialled, mut accepted) = mpsc::unbounded_channel();
    let dial = async |_: &str, _| {
        let (link, theirs) = slow_pair(1000).await;
        dialled.send(theirs).unwrap();
        Ok(link)
    };
    let last = Cell::new(0);
    let control_plane = async {
        let link = accepted.recv().await.unwrap();
        take(link, |report| {
            last.set(report.entries.iter().map(|entry| entry.addresses[0].since).max().unwrap_or(last.get()));
        })
        .await;
    };
    // Ten targets each second are 600 bytes, and all of the line's bytes are used up.
    let flapping = async {
        for second in 0_u64.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            (0..10).for_each(|number| source.set(number, Health::Unhealthy, second));
        }
    };
    let status = stage.agent.status.clone();
    let both = async { tokio::join!(run_over(dial, &mut stage.agent, &stage.stop), control_plane, flapping) };
    assert!(tokio::time::timeout(HOUR, both).await.is_err(), "it goes on");
    assert!(status.view().connected, "{:?}", status.view());
    assert!(last.get() > 3600 - 30, "the last report is {} s old", 3600 - last.get());
}
