//! The health of targets: what makes one unhealthy, and what makes it serve again.

use std::time::{SystemTime, UNIX_EPOCH};

use gateway::table::Change;
use model::healthchecks::{
    ActiveChecks, ActiveHealthy, ActiveUnhealthy, CheckType, Healthchecks, PassiveChecks, PassiveHealthy,
    PassiveUnhealthy,
};
use model::policy::{OtherStatuses, Policy, SlowStart};
use model::{ForcedHealth, Number, Service, TargetHealth, Upstream};
use testkit::origin::Answer;
use testkit::unreachable::Blackhole;
use testkit::wait;

use super::{
    Fleet, SOON, get, numbered, passive, post, seconds, service, strict, target, target_id, upstream,
};

/// Waits until so many requests are answered by exactly these origins.
async fn serve(fleet: &Fleet, origins: &[usize]) {
    let settled = || async {
        let mut seen = Vec::new();
        for _ in 0..10 {
            let response = fleet.get().await;
            let by = response.header(super::TARGET).and_then(|number| number.parse::<usize>().ok());
            seen.push((by.filter(|_| response.status == 200), response.status));
        }
        let served: std::collections::BTreeSet<_> = seen.iter().filter_map(|(by, _)| *by).collect();
        let all = seen.iter().all(|(by, _)| by.is_some());
        let wanted = origins.iter().copied().collect();
        if all && served == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
    };
    wait::eventually(SOON, settled).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_statuses_in_a_row_make_a_target_unhealthy() {
    let limits = PassiveUnhealthy { http_failures: 3, ..PassiveUnhealthy::default() };
    let fleet = Fleet::start(2, passive(limits));
    fleet.origins[0].answer(numbered(0, 500));
    for _ in 0..20 {
        fleet.get().await;
    }
    assert_eq!(fleet.origins[0].count(), 3);
    fleet.origins[0].answer(numbered(0, 200));
    assert_eq!(fleet.serving(10).await, [1].into(), "nothing tests it");
}

/// With Kong's default of 0 successes, failures would add up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_in_between_begins_the_row_again() {
    let limits = PassiveUnhealthy { http_failures: 2, ..PassiveUnhealthy::default() };
    let fleet = Fleet::start(1, passive(limits));
    for _ in 0..10 {
        fleet.origins[0].answer(numbered(0, 500));
        fleet.get().await.expect(500);
        fleet.origins[0].answer(numbered(0, 200));
        fleet.get().await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_connections_in_a_row_make_a_target_unhealthy() {
    let limits = PassiveUnhealthy { tcp_failures: 2, ..PassiveUnhealthy::default() };
    for answer in [Answer::reset(), Answer::close()] {
        let fleet = Fleet::start(2, passive(limits.clone()));
        fleet.origins[0].answer(answer);
        for _ in 0..20 {
            fleet.get().await.expect(200);
        }
        assert_eq!(fleet.origins[0].count(), 2);
    }
}

/// Kong counts the last try's failure as a status, and a lone target never becomes unhealthy by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_connections_without_a_retry_are_counted() {
    let once = Service { retries: 0, ..service() };
    let fleet = Fleet::of_service(1, strict(), once);
    fleet.origins[0].answer(Answer::reset());
    fleet.get().await.expect(502);
    assert_eq!(fleet.get().await.expect(503).header(super::TARGET), None);
    assert_eq!(fleet.counts(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_in_a_row_make_a_target_unhealthy() {
    let limits = PassiveUnhealthy { timeouts: 2, ..PassiveUnhealthy::default() };
    let hasty = Service { read_timeout: 200, connect_timeout: 200, ..service() };
    let fleet = Fleet::of_service(2, passive(limits), hasty);
    fleet.origins[0].answer(Answer::hang());
    for _ in 0..10 {
        fleet.get().await.expect(200);
    }
    assert_eq!(fleet.origins[0].count(), 2);

    let hole = Blackhole::start();
    fleet.gateway.apply(vec![Change::put(target(0, hole.address()))]);
    serve(&fleet, &[1]).await;
}

/// An answer 504 of the target's own is a status, and no timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_no_timeouts() {
    let limits = PassiveUnhealthy { timeouts: 1, tcp_failures: 1, ..PassiveUnhealthy::default() };
    let fleet = Fleet::start(1, passive(limits));
    fleet.origins[0].answer(numbered(0, 504));
    for _ in 0..5 {
        fleet.get().await.expect(504);
    }
}

/// A client that leaves says nothing about the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_leaves_is_no_failure_of_the_target() {
    let limits =
        PassiveUnhealthy { timeouts: 1, tcp_failures: 1, http_failures: 1, ..PassiveUnhealthy::default() };
    let fleet = Fleet::start(1, passive(limits));
    for _ in 0..3 {
        super::algorithms::Held::start(&fleet, 1).await.end(&fleet).await;
    }
    fleet.origins[0].answer(numbered(0, 200));
    fleet.get().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_statuses_count_as_the_policy_says() {
    for (other, requests) in [(OtherStatuses::Ignore, 10), (OtherStatuses::Failure, 2)] {
        let limits = PassiveUnhealthy { http_failures: 2, ..PassiveUnhealthy::default() };
        let policy = Box::new(Policy { other_statuses: other, ..Policy::default() });
        let fleet = Fleet::start(1, Upstream { policy, ..passive(limits) });
        fleet.origins[0].answer(numbered(0, 418));
        for _ in 0..10 {
            fleet.get().await;
        }
        assert_eq!(fleet.counts(), [requests], "{other:?}");
    }
}

/// One request after the time tests the target, and its success is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_that_only_requests_watch_recovers() {
    let policy = Box::new(Policy { recover_after: seconds(0.3), ..Policy::default() });
    let mut fleet = Fleet::start(2, Upstream { policy, ..strict() });
    fleet.origins[0].stop();
    for _ in 0..10 {
        fleet.served(&get("/")).await;
    }
    fleet.origins[0].restart();
    serve(&fleet, &[0, 1]).await;

    // Until it does, a failed test costs no request.
    fleet.origins[0].answer(Answer::reset());
    let before = fleet.origins[0].count();
    let tested = || fleet.origins[0].count() >= before + 3;
    let load = async {
        while !tested() {
            fleet.get().await.expect(200);
        }
    };
    tokio::time::timeout(SOON, load).await.unwrap();
    fleet.origins[0].answer(numbered(0, 200));
    serve(&fleet, &[0, 1]).await;
}

/// Targets of which all are down recover as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lone_target_that_only_requests_watch_recovers() {
    let policy = Box::new(Policy { recover_after: seconds(0.2), ..Policy::default() });
    let mut fleet = Fleet::start(1, Upstream { policy, ..strict() });
    fleet.origins[0].stop();
    fleet.get().await;
    fleet.get().await.expect(503);
    fleet.origins[0].restart();
    serve(&fleet, &[0]).await;
}

/// Probes of `/health` each 50 ms, of which one decides.
fn probed(r#type: CheckType) -> Upstream {
    let interval = seconds(0.05);
    let active = ActiveChecks {
        r#type,
        http_path: "/health".into(),
        healthy: ActiveHealthy { interval, successes: 1, ..ActiveHealthy::default() },
        unhealthy: ActiveUnhealthy {
            interval,
            tcp_failures: 1,
            timeouts: 1,
            http_failures: 1,
            ..ActiveUnhealthy::default()
        },
        ..ActiveChecks::default()
    };
    Upstream { healthchecks: Box::new(Healthchecks { active, ..Healthchecks::default() }), ..upstream() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_take_a_target_out_and_bring_it_back() {
    let mut fleet = Fleet::start(2, probed(CheckType::Http));
    serve(&fleet, &[0, 1]).await;
    fleet.origins[0].answer_with(|received| match &*received.target {
        "/health" => Answer::status(503),
        _ => numbered(0, 200),
    });
    serve(&fleet, &[1]).await;
    let probe = fleet.origins[0].requests().into_iter().find(|request| request.target == "/health").unwrap();
    assert_eq!((&*probe.method, probe.header("host")), ("GET", Some("127.0.0.1")));
    fleet.origins[0].answer(numbered(0, 200));
    serve(&fleet, &[0, 1]).await;
    fleet.origins[0].stop();
    serve(&fleet, &[1]).await;
    fleet.origins[0].restart();
    serve(&fleet, &[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_of_tcp_alone_ask_for_nothing() {
    let mut fleet = Fleet::start(2, probed(CheckType::Tcp));
    fleet.origins[0].stop();
    serve(&fleet, &[1]).await;
    fleet.origins[0].restart();
    serve(&fleet, &[0, 1]).await;
    assert!(fleet.origins.iter().all(|origin| origin.requests().iter().all(|of| of.target == "/")));
}

/// Requests take a target out, and probes bring it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_bring_back_what_requests_took_out() {
    let upstream = probed(CheckType::Http);
    let limits = PassiveUnhealthy { http_failures: 1, ..PassiveUnhealthy::default() };
    let passive =
        PassiveChecks { unhealthy: limits, healthy: PassiveHealthy::default(), ..PassiveChecks::default() };
    let healthchecks = Healthchecks { passive, ..*upstream.healthchecks };
    let fleet = Fleet::start(2, Upstream { healthchecks: Box::new(healthchecks), ..upstream });
    fleet.origins[0].answer_once(numbered(0, 500));
    fleet.send(&post()).await;
    serve(&fleet, &[0, 1]).await;
}

/// An operator's word counts at once, and pins the health for as long as it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_that_an_operator_sets_counts_at_once() {
    let fleet = Fleet::start(2, probed(CheckType::Http));
    serve(&fleet, &[0, 1]).await;
    let hour = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + 3600;
    let pinned = operation(ForcedHealth::Unhealthy, 0, Some(hour));
    fleet.gateway.apply(vec![Change::put(pinned)]);
    let probes = fleet.origins[0].count();
    assert_eq!(fleet.serving(10).await, [1].into());
    // Good probes do not change it.
    wait::until(SOON, "it is probed", || fleet.origins[0].count() >= probes + 3).await;
    assert_eq!(fleet.serving(10).await, [1].into());
    fleet.gateway.apply(vec![Change::put(operation(ForcedHealth::Healthy, 1, None))]);
    assert_eq!(fleet.serving(10).await, [0, 1].into());
}

/// The share of a target that has just recovered grows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_start_begins_with_a_small_share() {
    let slow_start = SlowStart { duration: seconds(3600.0), ..SlowStart::default() };
    let policy = Box::new(Policy { slow_start, ..Policy::default() });
    let fleet = Fleet::start(2, Upstream { policy, ..strict() });
    let equal = fleet.turns(100).await.iter().filter(|served| **served == 0).count();
    assert!((30..=70).contains(&equal), "{equal} of 100");
    for (health, after) in [(ForcedHealth::Unhealthy, 1), (ForcedHealth::Healthy, 2)] {
        fleet.gateway.apply(vec![Change::put(operation(health, after, None))]);
    }
    let share = fleet.turns(300).await.iter().filter(|served| **served == 0).count();
    assert!((1..80).contains(&share), "{share} of 300, and 150 would be its whole share");
}

/// What an operator says of the first target, so many milliseconds from now.
fn operation(health: ForcedHealth, after: i64, pinned_until: Option<i64>) -> TargetHealth {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    TargetHealth {
        id: TargetHealth::id_of(target_id(0), None, None),
        target: target_id(0),
        health,
        set_at: Number::of_milliseconds(now + after),
        until: pinned_until,
        ..TargetHealth::default()
    }
}
