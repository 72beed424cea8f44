//! Limits of requests, the queue, and the budget of retries.

use super::*;

fn limited(max_requests: u32, max_queue: u32) -> Settings {
    settings(|settings| {
        settings.limits = Limits { max_requests, max_queue, queue_timeout: seconds(5) };
    })
}

#[test]
fn a_full_member_is_passed_over_until_all_are_full() {
    for algorithm in
        [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::ConsistentHashing, Algorithm::Latency]
    {
        let balancer = balancer(Settings { algorithm, ..limited(2, 0) }, members(3));
        let held: Vec<Chosen> = (0..6).map(|_| balancer.choose(&wish(Some(1))).unwrap()).collect();
        assert_eq!(balancer.choose(&wish(Some(1))).unwrap_err(), NoTarget::Full, "{algorithm:?}");
        drop(held);
        assert!(balancer.choose(&wish(Some(1))).is_ok());
    }
}

#[test]
fn a_limit_is_no_matter_of_health() {
    let balancer = balancer(limited(1, 0), members(1));
    let _held = choose(&balancer).unwrap();
    for _ in 0..100 {
        assert_eq!(choose(&balancer).unwrap_err(), NoTarget::Full);
    }
    assert!(balancer.health().healthy);
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_are_served_in_order() {
    let balancer = balancer(limited(1, 10), members(1));
    let held = choose(&balancer).unwrap();
    let mut tasks = JoinSet::new();
    let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..3 {
        let (balancer, served) = (balancer.clone(), served.clone());
        tasks.spawn(async move {
            let chosen = balancer.wait_for_place(&wish(None)).await.unwrap();
            served.send(number).unwrap();
            tokio::time::sleep(seconds(1)).await;
            drop(chosen);
        });
        tokio::task::yield_now().await;
    }
    assert_eq!(choose(&balancer).unwrap_err(), NoTarget::Full);
    drop(held);
    // A request that comes now is behind the others.
    assert_eq!(choose(&balancer).unwrap_err(), NoTarget::Full);
    for number in 0..3 {
        assert_eq!(order.recv().await, Some(number));
    }
    while tasks.join_next().await.is_some() {}
    assert!(choose(&balancer).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_timeout() {
    let balancer = balancer(limited(1, 1), members(1));
    let (_held, begun) = (choose(&balancer).unwrap(), Instant::now());
    assert_eq!(balancer.wait_for_place(&wish(None)).await.unwrap_err(), NoTarget::Full);
    assert_eq!(begun.elapsed(), seconds(5));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let balancer = balancer(limited(1, 1), members(1));
    let (_held, begun) = (choose(&balancer).unwrap(), Instant::now());
    let other = balancer.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { other.wait_for_place(&wish(None)).await.map(drop) });
    tokio::task::yield_now().await;
    assert_eq!(balancer.wait_for_place(&wish(None)).await.unwrap_err(), NoTarget::Full);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_a_member_returns_or_none_is_left() {
    let balancer = balancer(limited(1, 4), members(2));
    slot(&balancer, 1).force(Health::Unhealthy, Instant::now());
    let _held = choose(&balancer).unwrap();
    let wait = |balancer: Arc<Balancer>| async move { balancer.wait_for_place(&wish(None)).await };
    let returned = async { slot(&balancer, 1).force(Health::Healthy, Instant::now()) };
    let (chosen, ()) = tokio::join!(wait(balancer.clone()), returned);
    assert_eq!(number(&chosen.unwrap()), 1);
}

#[test]
fn retries_stay_within_their_budget() {
    let budget = RetryBudget { percent: 20.0, min: 3 };
    let balancer = balancer(settings(|settings| settings.retries = budget), members(2));
    let count = |balancer: &Balancer| {
        let permits: Vec<_> = std::iter::from_fn(|| balancer.begin_retry()).take(1_000).collect();
        permits.len()
    };
    assert_eq!(count(&balancer), 3);
    let _active: Vec<Chosen> = (0..100).map(|_| choose(&balancer).unwrap()).collect();
    assert_eq!(count(&balancer), 20);
    assert_eq!(count(&balancer), 20);
    let unlimited = balancer.succeed(settings(|_| ()), members(2));
    assert_eq!(count(&unlimited), 1_000);
}
