//! Upstreams without a target that may serve: what clients get, and which targets stand in.

use gateway::table::Change;
use model::healthchecks::Healthchecks;
use model::policy::Policy;
use model::{AdminState, Number, Target, Upstream};
use testkit::origin::Answer;
use testkit::wait;
use tokio::time::Instant;

use super::{AT_ONCE, Fleet, SOON, get, number, strict, target, upstream};

const MESSAGE: &str = "failure to get a peer from the ring-balancer";

/// The answer of an upstream without targets comes at once, in Kong's words.
async fn assert_no_target(fleet: &Fleet, why: &str) {
    let before = fleet.counts();
    let begun = Instant::now();
    let response = fleet.get().await;
    assert!(begun.elapsed() < AT_ONCE, "{why}: {:?}", begun.elapsed());
    assert_eq!(response.status, 503, "{why}");
    assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"), "{why}");
    let id = response.header("x-kong-request-id").unwrap();
    assert_eq!(
        response.text(),
        format!("{{\n  \"message\":\"{MESSAGE}\",\n  \"request_id\":\"{id}\"\n}}"),
        "{why}"
    );
    assert_eq!(fleet.counts(), before, "{why}");
}

/// Stops these origins, and sends requests until the gateway has noticed.
async fn kill(fleet: &mut Fleet, origins: impl IntoIterator<Item = usize>) {
    for origin in origins {
        fleet.origins[origin].stop();
    }
    for _ in 0..4 * fleet.origins.len() {
        fleet.get().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_target_is_503_at_once() {
    let none = Fleet::start(0, upstream());
    assert_no_target(&none, "no target").await;
    none.gateway.wait_metric("gibbon_http_errors_total{reason=\"no_target\"}", 1.0).await;

    let fleet = Fleet::start(2, upstream());
    fleet.get().await.expect(200);
    for origin in 0..2 {
        fleet.set_weight(origin, 0);
    }
    assert_no_target(&fleet, "weight 0").await;
    for origin in 0..2 {
        fleet.set_weight(origin, 1);
    }
    fleet.get().await.expect(200);
    for (state, why) in [(AdminState::Drain, "drained"), (AdminState::Maint, "in maintenance")] {
        for origin in 0..2 {
            fleet.set_state(origin, state);
        }
        assert_no_target(&fleet, why).await;
    }
    for origin in 0..2 {
        fleet.set_state(origin, AdminState::Ready);
    }
    fleet.get().await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_targets_unhealthy_is_503_at_once() {
    let mut fleet = Fleet::start(3, strict());
    kill(&mut fleet, 0..3).await;
    assert_no_target(&fleet, "all unhealthy").await;
}

/// An upstream is available while more than the threshold is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_little_available_weight_is_503() {
    let threshold = |threshold| {
        let upstream = strict();
        let healthchecks = Healthchecks { threshold: Number::whole(threshold), ..*upstream.healthchecks };
        Upstream { healthchecks: Box::new(healthchecks), ..upstream }
    };
    let mut fleet = Fleet::start(4, threshold(50));
    kill(&mut fleet, [0]).await;
    assert_eq!(fleet.serving(20).await.len(), 3);
    kill(&mut fleet, [1]).await;
    assert_no_target(&fleet, "50 of 50 percent").await;
    fleet.gateway.apply(vec![Change::put(threshold(49))]);
    assert_eq!(fleet.serving(20).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_targets_serve_while_no_other_does() {
    let mut fleet = Fleet::start(4, strict());
    for id in [2, 3] {
        let failover = Target { failover: true, ..target(id, fleet.origins[id as usize].address()) };
        fleet.gateway.apply(vec![Change::put(failover)]);
    }
    assert_eq!(fleet.serving(20).await, [0, 1].into());
    fleet.set_state(0, AdminState::Drain);
    assert_eq!(fleet.serving(20).await, [1].into());
    kill(&mut fleet, [1]).await;
    assert_eq!(fleet.serving(20).await, [2, 3].into());
    fleet.set_state(0, AdminState::Ready);
    assert_eq!(fleet.serving(20).await, [0].into());
}

/// Far too many unhealthy targets are more likely a fault of the checks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_ignored_below_the_panic_threshold() {
    let panic = |panic_threshold| {
        let policy = Policy { panic_threshold: Number::whole(panic_threshold), ..Policy::default() };
        Upstream { policy: Box::new(policy), ..strict() }
    };
    let mut fleet = Fleet::start(4, panic(50));
    kill(&mut fleet, [0]).await;
    fleet.origins[0].restart();
    assert_eq!(fleet.serving(20).await, [1, 2, 3].into());
    for origin in 1..4 {
        fleet.origins[origin].answer(Answer::reset());
    }
    for _ in 0..20 {
        fleet.get().await;
    }
    let returns = || async {
        let response = fleet.get().await;
        if response.status == 200 { Ok(number(&response)) } else { Err(response.text()) }
    };
    assert_eq!(wait::eventually(SOON, returns).await, 0);
    fleet.gateway.apply(vec![Change::put(panic(0))]);
    assert_no_target(&fleet, "without panic").await;
}

/// A service goes to its upstream as soon as there is one, and to the name itself when there is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_comes_and_goes() {
    let fleet = Fleet::start(1, upstream());
    let local = Upstream { name: "LocalHost".into(), ..upstream() };
    let own = super::origin(9);
    let host = model::Service { host: "localhost".into(), port: own.address().port(), ..super::service() };
    fleet.gateway.serve(host, super::route(1, "/"));
    assert_eq!(fleet.served(&get("/")).await, 9);
    fleet.gateway.apply(vec![Change::put(local)]);
    assert_eq!(fleet.served(&get("/")).await, 0);
    fleet.gateway.apply(vec![
        Change::remove(Target::key(super::target_id(0))),
        Change::remove(Upstream::key(super::UPSTREAM)),
    ]);
    assert_eq!(fleet.served(&get("/")).await, 9);
}
