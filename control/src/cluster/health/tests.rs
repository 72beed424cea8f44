//! Reports of simulated data planes, honest and hostile, under a paused clock.

use std::net::Ipv4Addr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wire::{AddressHealth, Frame, Health, RecordType, ReportPart};

use super::*;
use crate::metrics::Metrics;

const FULL: ReportPart = ReportPart::Full { first: true, last: true };

fn fleet() -> FleetHealth {
    FleetHealth::new(Metrics::new(&prometheus::Registry::new()).unwrap().cluster.health)
}

fn node(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn entry(target: u128, health: Health, error: &str) -> TargetHealth {
    let address = AddressHealth {
        address: Ipv4Addr::new(10, 0, 0, 1).into(),
        port: 8000,
        weight: 100,
        health,
        since: 1,
        last_error: (!error.is_empty()).then(|| error.to_owned()),
    };
    let (target, record_type, dns_error) = (Uuid::from_u128(target), RecordType::A, None);
    TargetHealth { target, record_type, dns_error, addresses: vec![address] }
}

fn report(part: ReportPart, entries: Vec<TargetHealth>) -> HealthReport {
    HealthReport { part, revision: 5, targets: 10, entries }
}

/// What the reporting data planes say of a target that was created long ago.
fn states(fleet: &FleetHealth, target: u128) -> Vec<Sighted> {
    let wanted = Wanted { target: Uuid::from_u128(target), created_at: 0 };
    let sightings = fleet.sightings(&[wanted], 5, None).remove(0);
    sightings.into_iter().map(|sighting| sighting.state).collect()
}

fn memory(fleet: &FleetHealth, id: Uuid) -> usize {
    fleet.nodes.lock().get(&id).map_or(0, NodeHealth::len)
}

#[tokio::test(start_paused = true)]
async fn target_that_no_report_names_is_plain_and_a_change_counts() {
    let fleet = fleet();
    assert!(states(&fleet, 1).is_empty());
    let sick = entry(1, Health::Unhealthy, "no");
    fleet.report(node(1), report(ReportPart::Changes, vec![sick.clone()]), 100);
    assert!(states(&fleet, 1).is_empty(), "before the first full report, the rest is not known");
    fleet.report(node(1), report(FULL, vec![sick.clone()]), 100);
    fleet.report(node(2), report(FULL, Vec::new()), 100);
    assert_eq!(states(&fleet, 1), [Sighted::Named(sick), Sighted::Plain]);
    let counts = TargetCounts { targets: 10, unhealthy: 1, dns_error: 0, reported_at: 100 };
    assert_eq!(fleet.counts(node(1)), Some(counts));

    let plain = TargetHealth::plain(Uuid::from_u128(1));
    fleet.report(node(1), report(ReportPart::Changes, vec![plain]), 101);
    assert_eq!(states(&fleet, 1), [Sighted::Plain, Sighted::Plain]);
    assert_eq!(memory(&fleet, node(1)), 0, "a plain target needs no memory");
    assert_eq!(fleet.sightings(&[Wanted { target: node(1), created_at: 0 }], 5, Some(node(2)))[0].len(), 1);
}

#[tokio::test(start_paused = true)]
async fn full_report_of_several_frames_counts_with_its_last_one() {
    let fleet = fleet();
    fleet.report(node(1), report(FULL, vec![entry(1, Health::Unhealthy, "")]), 1);
    let part = |first, last| ReportPart::Full { first, last };
    fleet.report(node(1), report(part(true, false), vec![entry(2, Health::Unhealthy, "")]), 2);
    assert!(matches!(&states(&fleet, 1)[..], [Sighted::Named(_)]));
    assert_eq!(states(&fleet, 2), [Sighted::Plain]);
    // The connection ends, and the next one begins with another report.
    fleet.left(node(1));
    fleet.report(node(1), report(part(false, true), vec![]), 3);
    assert!(matches!(&states(&fleet, 1)[..], [Sighted::Named(_)]), "a rest without its beginning is nothing");
    fleet.report(node(1), report(part(true, false), vec![entry(2, Health::Unhealthy, "")]), 4);
    fleet.report(node(1), report(part(false, true), vec![entry(3, Health::Unhealthy, "")]), 4);
    assert_eq!(states(&fleet, 1), [Sighted::Plain]);
    assert!(matches!(&states(&fleet, 2)[..], [Sighted::Named(_)]));
    assert!(matches!(&states(&fleet, 3)[..], [Sighted::Named(_)]));
}

#[tokio::test(start_paused = true)]
async fn lost_connection_counts_for_a_while() {
    let fleet = fleet();
    fleet.report(node(1), report(FULL, vec![entry(1, Health::Unhealthy, "")]), 1);
    fleet.left(node(1));
    tokio::time::advance(GRACE - Duration::from_millis(1)).await;
    fleet.measure();
    assert_eq!(states(&fleet, 1).len(), 1);
    // It reconnects, and does not report: an older program.
    fleet.joined(node(1));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(states(&fleet, 1).is_empty() && fleet.reporting().is_empty());
    fleet.measure();
    assert!(fleet.nodes.lock().is_empty());

    fleet.report(node(1), report(FULL, Vec::new()), 1);
    fleet.left(node(1));
    fleet.report(node(1), report(FULL, Vec::new()), 2);
    tokio::time::advance(2 * GRACE).await;
    assert_eq!(fleet.reporting(), [node(1)], "the next connection has confirmed it");
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(fleet.reporting().is_empty(), "no full report for an hour");
}

#[tokio::test(start_paused = true)]
async fn newest_targets_are_unknown_on_a_data_plane_that_is_behind() {
    let fleet = fleet();
    fleet.report(node(1), report(FULL, Vec::new()), 100);
    let at = |created_at, head| {
        let wanted = Wanted { target: Uuid::from_u128(1), created_at };
        fleet.sightings(&[wanted], head, None).remove(0).remove(0).state
    };
    assert_eq!(at(200_000, 5), Sighted::Plain, "it holds the head");
    assert_eq!(at(200_000, 6), Sighted::Unknown);
    assert_eq!(at(50_000, 6), Sighted::Plain, "older than the revision that it holds");
}

#[tokio::test(start_paused = true)]
async fn hostile_data_plane_is_bounded_and_what_was_dropped_is_unknown() {
    let fleet = fleet();
    let mut rng = StdRng::seed_from_u64(1);
    let error = "e".repeat(wire::MAX_ERROR_TEXT);
    fleet.report(node(1), report(FULL, Vec::new()), 1);
    for _ in 0..400 {
        let entries = (0..1000).map(|_| entry(rng.random(), Health::Unhealthy, &error)).collect();
        fleet.report(node(1), report(ReportPart::Changes, entries), 1);
    }
    let kept = memory(&fleet, node(1));
    assert!((50_000..150_000).contains(&kept), "{kept}");
    assert_eq!(states(&fleet, 1), [Sighted::Unknown]);
    let dropped = |reason| fleet.metrics.dropped.with_label_values(&[reason]).get();
    assert_eq!(dropped("memory"), 400_000 - kept as u64);
    // The rate: everything is dropped unread.
    fleet.report(node(1), report(FULL, vec![entry(1, Health::Unhealthy, ""); 13_000]), 1);
    assert_eq!(dropped("rate"), 13_000);
    assert_eq!(states(&fleet, 2), [Sighted::Unknown]);
    // A good full report later makes good for it.
    tokio::time::advance(Duration::from_secs(60)).await;
    fleet.report(node(1), report(FULL, Vec::new()), 2);
    assert_eq!(states(&fleet, 1), [Sighted::Plain]);
    assert_eq!(memory(&fleet, node(1)), 0);
}

#[tokio::test(start_paused = true)]
async fn numbers_by_finding_follow_every_change() {
    let mut rng = StdRng::seed_from_u64(7);
    let fleet = fleet();
    fleet.report(node(1), HealthReport { targets: 50, ..report(FULL, Vec::new()) }, 1);
    let mut model = std::collections::HashMap::new();
    let states = [Health::Healthy, Health::Unhealthy, Health::Unchecked, Health::Ejected, Health::Unknown];
    for _ in 0..1000 {
        let number = rng.random_range(0..50);
        let mut changed = entry(number, states[rng.random_range(0..5)], "");
        match rng.random_range(0..4) {
            0 => changed = TargetHealth::plain(changed.target),
            1 => changed.addresses.clear(),
            _ => {}
        }
        model.insert(number, Finding::of(&changed));
        let changes = HealthReport { targets: 50, ..report(ReportPart::Changes, vec![changed]) };
        fleet.report(node(1), changes, 1);
    }
    fleet.measure();
    for finding in Finding::ALL {
        let expected = model.values().filter(|found| **found == finding).count()
            + if finding == Finding::Healthy { 50 - model.len() } else { 0 };
        assert_eq!(
            fleet.nodes.lock()[&node(1)].by_finding()[finding.index()] as usize,
            expected,
            "{finding:?}"
        );
    }
}

/// Fifty data planes whose ten thousand targets flap as fast as the data planes report: what a second costs.
#[tokio::test]
async fn fleet_that_flaps_costs_little() {
    const NODES: u128 = 50;
    const TARGETS: u128 = 10_000;
    /// Reports of a data plane within a second, and their changes: the limit of 64 KiB.
    const REPORTS: u128 = 5;
    const CHANGES: u128 = 218;
    let fleet = fleet();
    let all = |health| (0..TARGETS).map(|target| entry(target, health, "connection refused")).collect();
    let full: Vec<TargetHealth> = all(Health::Unhealthy);
    (0..NODES).for_each(|id| fleet.report(node(id), report(FULL, full.clone()), 1));
    let health = |second: u128| [Health::Healthy, Health::Unhealthy][usize::from(second % 2 == 1)];
    let frame = |second: u128, number: u128| {
        let first = (second * REPORTS + number) * CHANGES;
        let flapping = (first..first + CHANGES).map(|at| entry(at % TARGETS, health(second), "refused"));
        Frame::Health(report(ReportPart::Changes, flapping.collect())).encode()
    };
    let seconds = 3;
    let frames: Vec<_> = (0..seconds * REPORTS).map(|at| frame(at / REPORTS, at % REPORTS)).collect();
    let bytes: usize = frames.iter().map(|frame| frame.len() * NODES as usize).sum();
    let begun = Instant::now();
    for bytes in &frames {
        for id in 0..NODES {
            let Ok(Frame::Health(report)) = Frame::decode(bytes) else { panic!() };
            fleet.report(node(id), report, 1);
        }
    }
    let took = begun.elapsed() / u32::try_from(seconds).unwrap();
    let begun = Instant::now();
    let wanted: Vec<_> =
        (0..100).map(|target| Wanted { target: Uuid::from_u128(target), created_at: 0 }).collect();
    assert_eq!(fleet.sightings(&wanted, 5, None)[0].len(), NODES as usize);
    let page = begun.elapsed();
    println!(
        "{} bytes and {took:?} of work per second; a page of 100 targets {page:?}",
        bytes as u128 / seconds
    );
    // Unoptimised, on a machine that does other things too.
    assert!(took < Duration::from_secs(1) && page < Duration::from_millis(500), "{took:?} {page:?}");
    (0..NODES).for_each(|id| assert_eq!(memory(&fleet, node(id)), TARGETS as usize));
}
