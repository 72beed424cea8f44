//! State that outlives generations, absences and processes.

use super::*;

fn checked() -> Settings {
    settings(|settings| settings.checks = checks())
}

#[test]
fn state_survives_generations_and_dns() {
    let slots = Slots::new();
    let first = Balancer::new(UPSTREAM, checked(), members(3), &slots);
    slot(&first, 1).force(Health::Unhealthy, Instant::now());
    report(&first, 2, &REFUSED);
    let held = (0..3).map(|_| choose(&first).unwrap()).collect::<Vec<_>>();
    let second = Balancer::new(UPSTREAM, checked(), members(4), &slots);
    drop(first);
    assert_eq!(spread(&second, 4, 30), [10, 0, 10, 10]);
    assert_eq!(second.health().members.iter().map(|member| member.slot.in_flight).sum::<u32>(), 3);
    second.set_members(|| members(3));
    assert_eq!(spread(&second, 3, 30), [15, 0, 15]);
    assert_eq!(slot(&second, 2).report().health, Health::MostlyHealthy);
    report(&second, 2, &REFUSED);
    assert!(!slot(&second, 2).is_healthy());
    drop(held);
    assert_eq!(slot(&second, 0).in_flight(), 0);
}

#[test]
fn other_targets_and_upstreams_have_states_of_their_own() {
    let slots = Slots::new();
    let mut all = members(1);
    all.extend(members(1));
    all[1].identity.target = Uuid::from_u128(99);
    let first = Balancer::new(UPSTREAM, checked(), all.clone(), &slots);
    let second = Balancer::new(Uuid::from_u128(8), checked(), all, &slots);
    slot(&first, 0).force(Health::Unhealthy, Instant::now());
    assert!(slot(&first, 99).is_healthy());
    assert!(slot(&second, 0).is_healthy());
}

#[test]
fn an_old_view_still_sees_health() {
    let first = balancer(checked(), members(3));
    let second = first.succeed(checked(), members(3));
    slot(&second, 0).force(Health::Unhealthy, Instant::now());
    assert_eq!(spread(&first, 3, 30), [0, 15, 15]);
}

#[test]
fn an_old_generation_does_not_bring_its_settings_back() {
    let first = balancer(checked(), members(2));
    let second = first.succeed(settings(|_| ()), members(2));
    first.set_members(|| members(2));
    (0..9).for_each(|_| report(&second, 0, &REFUSED));
    assert!(slot(&second, 0).is_healthy());
}

#[test]
fn unhealthy_address_serves_again_when_checks_are_switched_off() {
    let slots = Slots::new();
    let first = Balancer::new(UPSTREAM, checked(), members(2), &slots);
    slot(&first, 0).pin(Health::Unhealthy, Instant::now() + seconds(60), Instant::now());
    slot(&first, 1).force(Health::Unhealthy, Instant::now());
    assert!(choose(&first).is_err());
    let second = first.succeed(settings(|_| ()), members(2));
    assert_eq!(spread(&second, 2, 10), [5, 5]);
    // What an operator has set waits for checks.
    let operation = Operation { health: Health::Unhealthy, set_at: 1, until: None };
    slot(&second, 0).operate(&operation, Instant::now());
    assert_eq!(spread(&second, 2, 10), [5, 5]);
    let third = second.succeed(checked(), members(2));
    slot(&third, 0).operate(&operation, Instant::now());
    assert_eq!(spread(&third, 2, 10), [0, 10]);
}

#[test]
fn operators_set_the_health_of_outliers_too() {
    let outlier = settings(|settings| settings.outlier = Some(Outlier::default()));
    let balancer = balancer(outlier, members(2));
    let operation = Operation { health: Health::Unhealthy, set_at: 1, until: None };
    slot(&balancer, 0).operate(&operation, Instant::now());
    assert_eq!(spread(&balancer, 2, 10), [0, 10]);
}

#[test]
fn restored_address_without_checks_serves() {
    let before = Slots::new();
    let first = Balancer::new(UPSTREAM, checked(), members(2), &before);
    slot(&first, 0).force(Health::Unhealthy, Instant::now());
    let after = Slots::new();
    after.import(before.export());
    let second = Balancer::new(UPSTREAM, settings(|_| ()), members(2), &after);
    assert_eq!(spread(&second, 2, 10), [5, 5]);
}

#[tokio::test(start_paused = true)]
async fn an_absent_address_is_kept_for_five_minutes() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let balancer = Balancer::new(UPSTREAM, checked(), members(3), &slots);
    slot(&balancer, 2).force(Health::Unhealthy, Instant::now());
    balancer.set_members(|| members(2));
    pass(seconds(290)).await;
    balancer.set_members(|| members(3));
    assert!(!slot(&balancer, 2).is_healthy());
    balancer.set_members(|| members(2));
    pass(seconds(340)).await;
    assert_eq!(slots.len(), 2);
    balancer.set_members(|| members(3));
    assert!(slot(&balancer, 2).is_healthy());
    drop(balancer);
    pass(seconds(340)).await;
    assert_eq!(slots.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_process_takes_over_what_is_not_healthy() {
    let outlier = Outlier { jitter: 0, ..Outlier::default() };
    let all = || {
        let mut settings = checked();
        settings.outlier = Some(outlier);
        settings
    };
    let (old, new) = (Slots::new(), Slots::new());
    let first = Balancer::new(UPSTREAM, all(), members(6), &old);
    slot(&first, 1).force(Health::Unhealthy, Instant::now());
    (0..5).for_each(|_| report(&first, 2, &answered(504)));
    slot(&first, 3).pin(Health::Unhealthy, Instant::now() + seconds(50), Instant::now());
    let operation = Operation { health: Health::Unhealthy, set_at: 5, until: None };
    slot(&first, 4).operate(&operation, Instant::now());
    slot(&first, 4).force(Health::Healthy, Instant::now());
    pass(seconds(10)).await;
    let json = serde_json::to_string(&old.export()).unwrap();
    new.import(serde_json::from_str(&json).unwrap());
    let _time = keep_time(&new);
    let second = Balancer::new(UPSTREAM, all(), members(6), &new);
    assert_eq!(spread(&second, 6, 30), [10, 0, 0, 0, 10, 10]);
    slot(&second, 4).operate(&operation, Instant::now());
    assert!(slot(&second, 4).is_healthy());
    pass(seconds(20)).await;
    assert_eq!(spread(&second, 6, 40), [10, 0, 10, 0, 10, 10]);
    pass(seconds(20)).await;
    assert_eq!(spread(&second, 6, 50), [10, 0, 10, 10, 10, 10]);
    let error = slot(&second, 2).report().last_error;
    assert_eq!(error.as_deref(), Some("status 504"));
}

#[tokio::test(start_paused = true)]
async fn states_that_nobody_needs_are_forgotten() {
    let (old, new) = (Slots::new(), Slots::new());
    let first = Balancer::new(UPSTREAM, checked(), members(1), &old);
    slot(&first, 0).force(Health::Unhealthy, Instant::now());
    new.import(old.export());
    let _time = keep_time(&new);
    pass(seconds(340)).await;
    let second = Balancer::new(UPSTREAM, checked(), members(1), &new);
    assert!(slot(&second, 0).is_healthy());
}

#[test]
fn a_strange_saved_state_does_no_harm() {
    let slots = Slots::new();
    let saved = format!(
        r#"[{{"upstream":"{UPSTREAM}","target":"{}","text":"10.0.0.0:80","address":"10.0.0.0:80",
        "health":"unhealthy","since":{max},"ejected":{max},"pinned":["healthy",{max}]}}]"#,
        Uuid::nil(),
        max = u64::MAX,
    );
    slots.import(serde_json::from_str(&saved).unwrap());
    let balancer = Balancer::new(UPSTREAM, checked(), members(1), &slots);
    assert!(slot(&balancer, 0).report().pinned);
}

/// Choices, reports, changes of members and of health at the same time: nothing panics, and all counts are
/// zero at the end.
#[test]
fn everything_at_once_leaves_the_counts_at_zero() {
    let slots = Slots::new();
    let settings = || {
        settings(|settings| {
            settings.checks = checks();
            settings.hash_balance_factor = 150;
            settings.outlier = Some(Outlier::default());
            settings.limits.max_requests = 50;
            settings.recover_after = Duration::from_millis(1);
        })
    };
    let balancer = Balancer::new(UPSTREAM, settings(), members(20), &slots);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let balancer = &balancer;
            scope.spawn(move || {
                for n in 0..5_000 {
                    let Ok(mut chosen) = balancer.choose(&wish(Some(n * 4 + thread))) else { continue };
                    let bad = (n + thread) % 3 == 0;
                    chosen.report(&if bad { REFUSED } else { answered(200) }, Instant::now());
                }
            });
        }
        for n in 0..200_u16 {
            balancer.set_members(|| members(5 + n % 20));
            let other = balancer.succeed(settings(), members(5 + n % 16));
            slot(&other, n % 5).force(Health::Healthy, Instant::now());
        }
    });
    balancer.set_members(|| members(25));
    assert!(balancer.health().members.iter().all(|member| member.slot.in_flight == 0));
    assert_eq!(balancer.upstream.in_flight.load(std::sync::atomic::Ordering::Relaxed), 0);
    let served = balancer.view().availability.sums().0;
    let counted = balancer.health().members.iter().filter(|member| member.available).count();
    assert!(served.available >= counted as u64);
}
