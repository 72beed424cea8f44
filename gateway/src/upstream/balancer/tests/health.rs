//! Health: thresholds, panic, an operator's word, the return without probes, slow start.

use super::*;

fn checked(change: impl FnOnce(&mut Settings)) -> Settings {
    settings(|settings| {
        settings.checks = checks();
        change(settings);
    })
}

#[test]
fn failures_in_a_row_make_unhealthy_and_successes_in_a_row_healthy() {
    let balancer = balancer(checked(|_| ()), members(2));
    for outcome in [REFUSED, answered(200), REFUSED, answered(200), answered(500), REFUSED] {
        report(&balancer, 0, &outcome);
        assert!(slot(&balancer, 0).is_healthy());
    }
    report(&balancer, 0, &REFUSED);
    assert!(!slot(&balancer, 0).is_healthy());
    assert_eq!(spread(&balancer, 2, 10), [0, 10]);
    let seen = slot(&balancer, 0).report();
    assert_eq!(seen.last_error.as_deref(), Some("connection refused"));
    for health in [Health::MostlyUnhealthy, Health::Healthy] {
        slot(&balancer, 0).probe_result(&ProbeOutcome::Status(200), Instant::now());
        assert_eq!(slot(&balancer, 0).report().health, health);
    }
    assert_eq!(spread(&balancer, 2, 10), [5, 5]);
}

#[test]
fn a_status_in_neither_list_counts_as_the_policy_says() {
    for (other, events, health) in [
        (OtherStatuses::Ignore, 9, Health::MostlyHealthy),
        (OtherStatuses::Success, 9, Health::Healthy),
        (OtherStatuses::Failure, 1, Health::Unhealthy),
    ] {
        let balancer = balancer(checked(|settings| settings.other_statuses = other), members(2));
        report(&balancer, 0, &answered(500));
        (0..events).for_each(|_| report(&balancer, 0, &answered(302)));
        assert_eq!(slot(&balancer, 0).report().health, health, "{other:?}");
    }
}

#[test]
fn nothing_that_is_not_the_targets_fault_counts() {
    let balancer = balancer(checked(|_| ()), members(1));
    (0..100).for_each(|_| report(&balancer, 0, &Outcome::Ignored));
    assert_eq!(slot(&balancer, 0).report().health, Health::Healthy);
}

#[test]
fn reasons_tell_why_there_is_no_target() {
    let half = balancer(checked(|settings| settings.threshold = 50.0), members(2));
    slot(&half, 0).force(Health::Unhealthy, Instant::now());
    assert_eq!(choose(&half).unwrap_err(), NoTarget::BelowThreshold);
    assert!(!half.health().healthy);
    slot(&half, 1).force(Health::Unhealthy, Instant::now());
    assert_eq!(choose(&half).unwrap_err(), NoTarget::Unhealthy);
    let health = half.health();
    assert_eq!((health.total_weight, health.available_weight), (200, 0));
}

#[test]
fn panic_uses_all_but_drained_members() {
    let mut all = members(4);
    all[3].state = State::Drain { until: None };
    let balancer = balancer(checked(|settings| settings.panic_threshold = 50.0), all);
    for number in [0, 1] {
        slot(&balancer, number).force(Health::Unhealthy, Instant::now());
    }
    assert_eq!(spread(&balancer, 4, 300), [100, 100, 100, 0]);
    slot(&balancer, 0).force(Health::Healthy, Instant::now());
    assert_eq!(spread(&balancer, 4, 300), [150, 0, 150, 0]);
}

#[test]
fn unknown_members_wait_for_their_first_probe() {
    let settings = checked(|settings| settings.initial = Initial::Unknown);
    let balancer = balancer(settings, members(3));
    assert_eq!(spread(&balancer, 3, 300), [100, 100, 100]);
    slot(&balancer, 1).probe_result(&ProbeOutcome::Success, Instant::now());
    assert_eq!(spread(&balancer, 3, 300), [0, 300, 0]);
    let failure = ProbeOutcome::TcpFailure { reason: "refused" };
    slot(&balancer, 2).probe_result(&failure, Instant::now());
    slot(&balancer, 1).force(Health::Unhealthy, Instant::now());
    assert_eq!(spread(&balancer, 3, 300), [300, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_pin_holds_until_its_end_and_events_count_afterwards() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let balancer = Balancer::new(UPSTREAM, checked(|_| ()), members(2), &slots);
    slot(&balancer, 0).pin(Health::Healthy, Instant::now() + seconds(600), Instant::now());
    (0..9).for_each(|_| report(&balancer, 0, &REFUSED));
    assert_eq!(spread(&balancer, 2, 10), [5, 5]);
    pass(seconds(599)).await;
    assert!(slot(&balancer, 0).report().pinned);
    pass(seconds(1)).await;
    assert!(!slot(&balancer, 0).report().pinned);
    assert_eq!(spread(&balancer, 2, 10), [0, 10]);
}

#[test]
fn an_operation_is_applied_once_to_each_address() {
    let mut all = members(2);
    let unhealthy = Operation { health: Health::Unhealthy, set_at: 1_000, until: None };
    all[0].operation = Some(unhealthy);
    let first = balancer(checked(|_| ()), all.clone());
    assert!(!slot(&first, 0).is_healthy());
    slot(&first, 0).force(Health::Healthy, Instant::now());
    let second = first.succeed(checked(|_| ()), all.clone());
    assert!(slot(&second, 0).is_healthy());
    all[0].operation = Some(Operation { set_at: 1_001, ..unhealthy });
    let third = second.succeed(checked(|_| ()), all);
    assert!(!slot(&third, 0).is_healthy());
}

#[tokio::test(start_paused = true)]
async fn a_member_returns_by_one_request_and_the_pause_doubles() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let settings = checked(|settings| settings.recover_after = seconds(10));
    let balancer = Balancer::new(UPSTREAM, settings, members(1), &slots);
    (0..2).for_each(|_| report(&balancer, 0, &REFUSED));
    for pause in [10, 20, 40, 80, 160, 160, 160] {
        pass(seconds(pause) - Duration::from_millis(2)).await;
        assert_eq!(choose(&balancer).unwrap_err(), NoTarget::Unhealthy);
        pass(Duration::from_millis(1)).await;
        let mut trial = choose(&balancer).unwrap();
        assert!(trial.is_trial());
        assert_eq!(choose(&balancer).unwrap_err(), NoTarget::Unhealthy);
        trial.report(&REFUSED, Instant::now());
    }
    pass(seconds(160)).await;
    // A trial that says nothing is given to the next request.
    drop(choose(&balancer).unwrap());
    let mut trial = choose(&balancer).unwrap();
    trial.report(&answered(200), Instant::now());
    assert!(!choose(&balancer).unwrap().is_trial());
    assert_eq!(slot(&balancer, 0).report().health, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_dead_member_costs_few_requests_in_days() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let settings = checked(|settings| settings.recover_after = seconds(10));
    let balancer = Balancer::new(UPSTREAM, settings, members(5), &slots);
    let mut failed = 0;
    for _ in 0..3 * 86_400 {
        pass(seconds(1)).await;
        let mut chosen = choose(&balancer).unwrap();
        let dead = number(&chosen) == 0;
        failed += u32::from(dead);
        chosen.report(&if dead { REFUSED } else { answered(200) }, Instant::now());
    }
    // 259,200 s at one trial each 160 s or a little more.
    assert!((1_500..1_640).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_recovers_starts_slowly() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let start = SlowStart { duration: seconds(100), min_percent: 10.0, aggression: 1.0 };
    let settings = checked(|settings| settings.slow_start = Some(start));
    let balancer = Balancer::new(UPSTREAM, settings, members(2), &slots);
    assert_eq!(spread(&balancer, 2, 100), [50, 50]);
    slot(&balancer, 0).force(Health::Unhealthy, Instant::now());
    slot(&balancer, 0).force(Health::Healthy, Instant::now());
    for (after, share) in [(0, 0.1), (50, 0.5), (50, 1.0)] {
        pass(seconds(after)).await;
        let count = f64::from(spread(&balancer, 2, 20_000)[0]);
        let wanted = 20_000.0 * share / (1.0 + share);
        assert!((count / wanted - 1.0).abs() < 0.1, "{after}: {count} of {wanted}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_those_that_join_others_start_slowly() {
    let start = SlowStart { duration: seconds(100), min_percent: 10.0, aggression: 1.0 };
    let settings = || checked(|settings| settings.slow_start = Some(start));
    let balancer = balancer(settings(), members(2));
    let early = balancer.succeed(settings(), members(3));
    assert_eq!(spread(&early, 3, 300), [100, 100, 100]);
    pass(seconds(100)).await;
    let late = early.succeed(settings(), members(4));
    let counts = spread(&late, 4, 3_100);
    assert!((50..150).contains(&counts[3]), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_once_with_their_last_state() {
    let slots = Slots::new();
    let balancer = Balancer::new(UPSTREAM, checked(|_| ()), members(3), &slots);
    assert!(slots.take_changes().is_empty());
    for health in [Health::Unhealthy, Health::Healthy, Health::Unhealthy] {
        slot(&balancer, 1).force(health, Instant::now());
    }
    slots.notify().notified().await;
    let changed = slots.take_changes();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].report().health, Health::Unhealthy);
    assert!(slots.take_changes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_time() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let mut all = members(2);
    all[0].state = State::Drain { until: Some(Instant::now() + seconds(60)) };
    let balancer = Balancer::new(UPSTREAM, checked(|_| ()), all, &slots);
    assert_eq!(spread(&balancer, 2, 10), [0, 10]);
    pass(seconds(59)).await;
    assert_eq!(spread(&balancer, 2, 10), [0, 10]);
    pass(seconds(1)).await;
    assert_eq!(spread(&balancer, 2, 10), [5, 5]);
}
