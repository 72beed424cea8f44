//! Shares of the algorithms, and what is never chosen.

use proptest::prelude::*;

use super::*;

const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RoundRobin,
    Algorithm::LeastConnections,
    Algorithm::ConsistentHashing,
    Algorithm::Latency,
    Algorithm::StickySessions,
];

fn with(algorithm: Algorithm) -> Settings {
    settings(|settings| settings.algorithm = algorithm)
}

#[test]
fn without_members_there_is_no_target() {
    for algorithm in ALGORITHMS {
        assert_eq!(choose(&balancer(with(algorithm), Vec::new())).unwrap_err(), NoTarget::Empty);
        let zero = vec![member(1, 0)];
        assert_eq!(choose(&balancer(with(algorithm), zero)).unwrap_err(), NoTarget::Empty);
    }
}

#[test]
fn turns_follow_the_weights_exactly() {
    let balancer = balancer(with(Algorithm::RoundRobin), vec![member(0, 50), member(1, 100), member(2, 150)]);
    assert_eq!(spread(&balancer, 3, 600), [100, 200, 300]);
}

#[test]
fn an_unavailable_member_leaves_its_turns_to_all_others() {
    let balancer = balancer(with(Algorithm::RoundRobin), members(5));
    slot(&balancer, 3).force(Health::Unhealthy, Instant::now());
    assert_eq!(spread(&balancer, 5, 400), [100, 100, 100, 0, 100]);
}

#[test]
fn idle_members_get_connections_in_turn() {
    let balancer = balancer(with(Algorithm::LeastConnections), vec![member(0, 100), member(1, 200)]);
    assert_eq!(spread(&balancer, 2, 300), [100, 200]);
}

#[test]
fn connections_in_flight_follow_the_weights() {
    let balancer = balancer(with(Algorithm::LeastConnections), vec![member(0, 100), member(1, 200)]);
    let held: Vec<Chosen> = (0..300).map(|_| choose(&balancer).unwrap()).collect();
    assert_eq!([slot(&balancer, 0).in_flight(), slot(&balancer, 1).in_flight()], [100, 200]);
    drop(held);
    assert_eq!([slot(&balancer, 0).in_flight(), slot(&balancer, 1).in_flight()], [0, 0]);
}

#[test]
fn connections_of_many_members_stay_level() {
    let balancer = balancer(with(Algorithm::LeastConnections), members(200));
    let _held: Vec<Chosen> = (0..10_000).map(|_| choose(&balancer).unwrap()).collect();
    let counts: Vec<u32> = (0..200).map(|number| slot(&balancer, number).in_flight()).collect();
    assert!(counts.iter().all(|count| (45..=55).contains(count)), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_faster_of_two_is_chosen() {
    let balancer = balancer(with(Algorithm::Latency), members(2));
    for (number, millis) in [(0, 10), (1, 200)] {
        let outcome = Outcome::Answered { status: 200, took: Duration::from_millis(millis) };
        report(&balancer, number, &outcome);
    }
    assert_eq!(spread(&balancer, 2, 100), [100, 0]);
}

#[tokio::test(start_paused = true)]
async fn fast_failures_attract_no_requests() {
    let balancer = balancer(with(Algorithm::Latency), members(2));
    for number in 0..2 {
        report(&balancer, number, &answered(200));
    }
    let mut failed = 0;
    for _ in 0..1_000 {
        let mut chosen = choose(&balancer).unwrap();
        let is_broken = number(&chosen) == 0;
        let took = Duration::from_millis(if is_broken { 1 } else { 10 });
        chosen.report(&Outcome::Answered { status: if is_broken { 502 } else { 200 }, took }, Instant::now());
        failed += u32::from(is_broken);
    }
    assert!(failed <= 600, "{failed} of 1000");
    for _ in 0..10 {
        report(&balancer, 0, &REFUSED);
    }
    assert_eq!(spread(&balancer, 2, 100), [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_member_is_tried_again() {
    let balancer = balancer(with(Algorithm::Latency), members(2));
    let slow = Outcome::Answered { status: 200, took: seconds(1) };
    report(&balancer, 0, &slow);
    let mut asked = 0;
    for _ in 0..120 {
        pass(seconds(1)).await;
        let mut chosen = choose(&balancer).unwrap();
        asked += u32::from(number(&chosen) == 0);
        chosen.report(&answered(200), Instant::now());
    }
    assert!(asked > 10, "{asked}");
}

#[test]
fn a_retry_takes_another_member_while_there_is_one() {
    for algorithm in ALGORITHMS {
        let balancer = balancer(with(algorithm), members(5));
        let mut tried = Tried::default();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let chosen = balancer.choose(&Wish { key: Some(1), tried: &tried, ..wish(None) }).unwrap();
            tried.add(&chosen);
            seen.push(number(&chosen));
        }
        assert!(balancer.choose(&Wish { key: Some(1), tried: &tried, ..wish(None) }).is_ok());
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4], "{algorithm:?}");
    }
}

#[test]
fn a_choice_allocates_nothing() {
    for algorithm in ALGORITHMS {
        for count in [1, 10, 1_000] {
            let balancer = balancer(with(algorithm), members(count));
            slot(&balancer, 0).force(Health::Healthy, Instant::now());
            let mut tried = Tried::default();
            tried.add(&choose(&balancer).unwrap());
            let chosen = allocation_counter::measure(|| {
                for key in 0..100 {
                    for tried in [&NONE, &tried] {
                        let wish = Wish { key: Some(key), sticky: Some(key), tried, now: Instant::now() };
                        drop(balancer.choose(&wish).unwrap());
                    }
                }
            });
            assert_eq!(chosen.count_total, 0, "{algorithm:?} {count}");
        }
    }
}

#[test]
fn a_session_stays_while_its_member_is_drained_and_leaves_when_it_is_down() {
    let mut all = members(5);
    let first = balancer(with(Algorithm::StickySessions), all.clone());
    let id = slot(&first, 2).sticky_id();
    let sticky =
        |balancer: &Balancer| number(&balancer.choose(&Wish { sticky: Some(id), ..wish(None) }).unwrap());
    assert_eq!(sticky(&first), 2);
    all[2].state = State::Drain { until: None };
    let drained = first.succeed(with(Algorithm::StickySessions), all.clone());
    assert_eq!(sticky(&drained), 2);
    assert_eq!(spread(&drained, 5, 400)[2], 0);
    slot(&drained, 2).force(Health::Unhealthy, Instant::now());
    assert_ne!(sticky(&drained), 2);
    all[2].state = State::Maint { until: None };
    let closed = drained.succeed(with(Algorithm::StickySessions), all);
    slot(&closed, 2).force(Health::Healthy, Instant::now());
    assert_ne!(sticky(&closed), 2);
}

#[test]
fn sessions_keep_their_member_when_others_come_and_go() {
    let first = balancer(with(Algorithm::StickySessions), members(5));
    let ids: Vec<u64> = (0..5).map(|number| slot(&first, number).sticky_id()).collect();
    let second = balancer(with(Algorithm::StickySessions), members(9).split_off(1));
    for number in 1..5 {
        assert_eq!(slot(&second, number).sticky_id(), ids[usize::from(number)]);
    }
}

#[test]
fn failover_members_serve_when_no_regular_one_does() {
    for algorithm in ALGORITHMS {
        let mut all = members(3);
        all[2].failover = true;
        let balancer = balancer(with(algorithm), all);
        let key = |key| number(&balancer.choose(&wish(Some(key))).unwrap());
        assert!((0..100).all(|n| key(n) != 2));
        for number in 0..2 {
            slot(&balancer, number).force(Health::Unhealthy, Instant::now());
        }
        assert!((0..100).all(|n| key(n) == 2), "{algorithm:?}");
        slot(&balancer, 1).force(Health::Healthy, Instant::now());
        assert!((0..100).all(|n| key(n) == 1));
    }
}

#[test]
fn the_own_zone_is_preferred() {
    let mut all = members(4);
    all[1].zone = Some("a".into());
    all[3].zone = Some("a".into());
    let own = ZonePreference { own: "a".into(), min_healthy_percent: 70.0 };
    let balancer = balancer(settings(|settings| settings.zone = Some(own)), all);
    assert_eq!(spread(&balancer, 4, 100), [0, 50, 0, 50]);
    slot(&balancer, 1).force(Health::Unhealthy, Instant::now());
    assert_eq!(spread(&balancer, 4, 300), [100, 0, 100, 100]);
}

#[test]
fn equal_members_count_once_with_the_sum_of_their_weights() {
    let balancer = balancer(with(Algorithm::RoundRobin), vec![member(0, 50), member(1, 100), member(0, 50)]);
    assert_eq!(balancer.members().len(), 2);
    assert_eq!(spread(&balancer, 2, 100), [50, 50]);
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop_oneof![Just(0), 1_u32..20, Just(100)], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_follow_the_weights(weights in weights(), which in 0_usize..3) {
        let algorithm = [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::ConsistentHashing][which];
        let all = weights.iter().enumerate().map(|(number, weight)| member(number as u16, *weight)).collect();
        let balancer = balancer(with(algorithm), all);
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        if sum == 0.0 {
            prop_assert!(choose(&balancer).is_err());
            return Ok(());
        }
        let mut counts = vec![0_u32; weights.len()];
        for key in 0..20_000 {
            counts[usize::from(number(&balancer.choose(&wish(Some(key))).unwrap()))] += 1;
        }
        for (count, weight) in counts.iter().zip(&weights) {
            let wanted = 20_000.0 * f64::from(*weight) / sum;
            let deviation = (f64::from(*count) - wanted).abs();
            prop_assert!(deviation <= 2.0 + 8.0 * wanted.sqrt() + wanted * 0.02, "{count} {wanted}");
        }
    }

    /// Whatever is up, in whatever mode, a choice is available, or none is.
    #[test]
    fn only_available_members_are_chosen(up in prop::collection::vec(any::<bool>(), 1..80), which in 0_usize..5) {
        let balancer = balancer(with(ALGORITHMS[which]), members(up.len() as u16));
        for (number, up) in up.iter().enumerate() {
            if !up {
                slot(&balancer, number as u16).force(Health::Unhealthy, Instant::now());
            }
        }
        for key in 0..200 {
            match balancer.choose(&wish(Some(key))) {
                Ok(chosen) => prop_assert!(up[usize::from(number(&chosen))]),
                Err(error) => prop_assert!(error == NoTarget::Unhealthy && !up.contains(&true)),
            }
        }
    }
}
