//! Changes of the configuration under requests: each concerns the targets that it names, and no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::table::Change;
use model::{Algorithm, HashInput, Target, Upstream};
use testkit::wait;
use tokio::time::{MissedTickBehavior, interval};

use super::algorithms::Held;
use super::{Fleet, Load, SOON, get, numbered, strict, target, target_id, unrelated, upstream};

/// Changes that do not concern the first target.
fn others(fleet: &Fleet) -> Vec<Vec<Change>> {
    let heavier = Target { weight: 101, ..target(1, fleet.origins[1].address()) };
    let added = target(8, fleet.origins[2].address());
    vec![
        unrelated(1),
        vec![Change::put(heavier)],
        vec![Change::put(added)],
        vec![Change::remove(Target::key(target_id(8)))],
        unrelated(2),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_outlives_changes_of_other_entities() {
    let mut fleet = Fleet::start(3, strict());
    fleet.origins[0].stop();
    for _ in 0..6 {
        fleet.served(&get("/")).await;
    }
    fleet.origins[0].restart();
    for change in others(&fleet) {
        fleet.gateway.apply(change);
        assert!(!fleet.serving(12).await.contains(&0));
    }
    // A change of its own weight is none of its health.
    fleet.set_weight(0, 200);
    assert!(!fleet.serving(12).await.contains(&0));
    // Nor is a change of the upstream.
    fleet.gateway.apply(vec![Change::put(Upstream { algorithm: Algorithm::LeastConnections, ..strict() })]);
    assert!(!fleet.serving(12).await.contains(&0));
}

/// Kong forgets the requests in progress with every change, and a target that is busy gets all new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_outlive_changes_of_other_entities() {
    let upstream = Upstream { algorithm: Algorithm::LeastConnections, ..upstream() };
    let fleet = Fleet::start(3, upstream);
    let mut held = Held::start(&fleet, 3).await;
    assert_eq!(fleet.counts(), [1; 3]);
    for change in others(&fleet) {
        fleet.gateway.apply(change);
    }
    held.more(&fleet, 3).await;
    assert_eq!(fleet.counts(), [2; 3]);
    held.end(&fleet).await;
    for (number, origin) in fleet.origins.iter().enumerate() {
        origin.answer(numbered(number, 200));
    }
    // All have ended, in every configuration.
    let report = fleet.gateway.shared.balancing.live_group(&super::UPSTREAM).unwrap().balancer().health();
    assert!(report.members.iter().all(|member| member.slot.in_flight == 0), "{report:?}");
}

/// Two targets stay, and ten a second come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_come_and_go_without_a_failed_request() {
    const CHANGES: usize = 20;
    let hashed = Upstream {
        algorithm: Algorithm::ConsistentHashing,
        hash_on: HashInput::Header,
        hash_on_header: Some("X-Key".into()),
        ..upstream()
    };
    let upstreams = [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::Latency]
        .map(|algorithm| Upstream { algorithm, ..upstream() });
    for upstream in upstreams.into_iter().chain([hashed]) {
        let algorithm = upstream.algorithm;
        let fleet = Fleet::start(7, upstream);
        let done = Arc::new(AtomicUsize::new(0));
        let load = Load::start(4, fleet.gateway.address(), &done);
        let mut ticks = interval(Duration::from_millis(100));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for change in 0..CHANGES {
            ticks.tick().await;
            let moving = 2 + (change / 2) as u128 % 5;
            let address = fleet.origins[moving as usize].address();
            fleet.gateway.apply(vec![match change % 2 {
                0 => Change::remove(Target::key(target_id(moving))),
                _ => Change::put(target(moving, address)),
            }]);
        }
        let before = done.load(Ordering::Relaxed);
        wait::until(SOON, "requests go on", || done.load(Ordering::Relaxed) > before + 20).await;
        let failed = load.stop().await;
        assert_eq!(failed, Vec::<String>::new(), "{algorithm:?}");
        assert!(fleet.counts().iter().all(|count| *count > 0), "{algorithm:?}: {:?}", fleet.counts());
    }
}

/// The origin of a target is stopped as soon as the push has removed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_target_may_stop_once_its_requests_have_ended() {
    let mut fleet = Fleet::start(3, upstream());
    let done = Arc::new(AtomicUsize::new(0));
    let load = Load::start(4, fleet.gateway.address(), &done);
    for _ in 0..5 {
        let before = done.load(Ordering::Relaxed);
        fleet.gateway.apply(vec![Change::remove(Target::key(target_id(2)))]);
        wait::until(SOON, "running requests end", || done.load(Ordering::Relaxed) > before + 20).await;
        fleet.origins[2].stop();
        let before = done.load(Ordering::Relaxed);
        wait::until(SOON, "requests go on", || done.load(Ordering::Relaxed) > before + 20).await;
        fleet.origins[2].restart();
        fleet.gateway.apply(vec![Change::put(target(2, fleet.origins[2].address()))]);
    }
    assert_eq!(load.stop().await, Vec::<String>::new());
}
