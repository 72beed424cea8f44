use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use super::*;

const MINUTE: u64 = 60_000;
/// A limit that nothing reaches.
const ANY: f64 = 1e15;

fn scope() -> Scope {
    Scope { route: Uuid::from_u128(1), service: Uuid::nil() }
}

fn ask(counters: &Counters, name: &str, period: Period, limit: f64) -> Ask {
    let subject = counters.subject(&Namespace::new(&scope(), b"test"), name.as_bytes());
    Ask { subject, period, limit, sliding: false, cost: 1.0 }
}

/// How many of `requests` pass at this time.
fn pass(counters: &Counters, asks: &[Ask], requests: u32, now: u64) -> u32 {
    (0..requests).map(|_| u32::from(counters.take(asks, now).allowed)).sum()
}

/// What counts against each limit.
fn used(counters: &Counters, asks: &[Ask], now: u64) -> Vec<f64> {
    let asks: Vec<Ask> = asks.iter().map(|ask| ask.without_cost()).collect();
    counters.take(&asks, now).usage.to_vec()
}

#[test]
fn threads_take_exactly_the_limit() {
    let counters = Counters::default();
    let [one, other] = [("a", Period::Minute, 1000.0), ("b", Period::Hour, 700.0)]
        .map(|(name, period, limit)| ask(&counters, name, period, limit));
    // The second locks the shards of two subjects, in either order.
    for (asks, limit) in [(vec![one], 1000), (vec![ask(&counters, "c", Period::Day, 900.0), other], 700)] {
        let taken = AtomicU32::new(0);
        thread::scope(|scope| {
            for number in 0..32 {
                let (counters, taken, mut asks) = (&counters, &taken, asks.clone());
                if number % 2 == 0 {
                    asks.reverse();
                }
                scope.spawn(move || {
                    taken.fetch_add(pass(counters, &asks, limit * 10 / 32, MINUTE), Ordering::Relaxed)
                });
            }
        });
        assert_eq!(taken.into_inner(), limit);
    }
}

#[test]
fn request_counts_on_all_limits_or_on_none() {
    let counters = Counters::default();
    let asks = [
        ask(&counters, "a", Period::Second, 3.0),
        ask(&counters, "a", Period::Minute, 5.0),
        ask(&counters, "b", Period::Minute, 100.0),
    ];
    assert_eq!(pass(&counters, &asks, 10, MINUTE), 3);
    let usage = |now| used(&counters, &asks, now);
    assert_eq!(usage(MINUTE), [3.0, 3.0, 3.0]);
    assert_eq!(pass(&counters, &asks, 10, MINUTE + 1000), 2);
    assert_eq!(usage(MINUTE + 1000), [2.0, 5.0, 5.0]);
    assert_eq!(pass(&counters, &asks, 10, MINUTE + 30_000), 0);
    assert_eq!(pass(&counters, &asks, 10, 2 * MINUTE), 3);
    // What another plugin counts is apart.
    for (what, name) in [("other", "a"), ("tes", "ta"), ("testa", "")] {
        let other = counters.subject(&Namespace::new(&scope(), what.as_bytes()), name.as_bytes());
        assert_ne!(other, asks[0].subject);
    }
}

/// A request that asks for one limit goes another way than one that asks for several.
#[test]
fn one_limit_counts_as_it_does_among_several() {
    let [alone, among] = [Counters::new(640), Counters::new(640)];
    let mut state = 1_u64;
    let mut now = 100 * MINUTE;
    // With the same key, names share the same locks.
    among.import(&alone.export(now), now);
    for step in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = |shift: u32, count: u64| (state >> shift) % count;
        // Clocks differ, and one of them was set back.
        now = if part(8, 4000) == 0 { now - 20 * MINUTE } else { now + part(20, 1500) };
        let seen = now - part(32, 2000);
        let name = format!("name-{}", part(40, 30));
        let ask = |counters: &Counters| Ask {
            limit: part(48, 9) as f64,
            sliding: part(52, 2) == 0,
            cost: [1.0, 1.0, 0.0, 2.5, -1.0][part(54, 5) as usize],
            ..ask(counters, &name, [Period::Second, Period::Minute][part(58, 2) as usize], 0.0)
        };
        let taken = alone.take(&[ask(&alone)], seen);
        let other = self::ask(&among, &name, Period::Year, ANY).without_cost();
        let expected = among.take(&[ask(&among), other], seen);
        assert_eq!(taken, Taken { usage: expected.usage[..1].into(), ..expected }, "{step}");
    }
    assert_eq!(alone.len(), among.len());
}

#[test]
fn fraction_of_a_limit_lets_one_more_through() {
    let counters = Counters::default();
    for (name, limit, passed) in [("a", 1.5, 2), ("b", 0.1, 1), ("c", 2.0, 2)] {
        assert_eq!(pass(&counters, &[ask(&counters, name, Period::Hour, limit)], 9, MINUTE), passed);
    }
}

#[test]
fn uses_of_any_size_count_while_something_is_left() {
    let counters = Counters::default();
    let one = ask(&counters, "a", Period::Hour, 10.0);
    let two = ask(&counters, "b", Period::Hour, 5.0);
    for (costs, allowed, counts) in [
        ([8.0, 0.0], true, [8.0, 0.0]),
        ([6.5, 1.0], true, [14.5, 1.0]),
        ([1.0, 1.0], false, [14.5, 1.0]),
        ([0.0, 5.0], true, [14.5, 6.0]),
        ([-5.0, 0.0], true, [9.5, 6.0]),
        ([1.0, 0.0], true, [10.5, 6.0]),
    ] {
        let asks = [Ask { cost: costs[0], ..one }, Ask { cost: costs[1], ..two }];
        assert_eq!(counters.take(&asks, MINUTE).allowed, allowed, "{costs:?}");
        assert_eq!(used(&counters, &asks, MINUTE), counts, "{costs:?}");
    }
    // Two limits on one counter count a request once.
    let both = [ask(&counters, "c", Period::Hour, 3.0), ask(&counters, "c", Period::Hour, 9.0)];
    assert_eq!(pass(&counters, &both, 9, MINUTE), 3);
    // Nothing is kept of what counts nothing.
    let before = counters.len();
    used(&counters, &[ask(&counters, "d", Period::Hour, 3.0)], MINUTE);
    assert_eq!(counters.len(), before);
}

#[test]
fn windows_of_all_periods_pass_over_two_years() {
    let counters = Counters::default();
    let asks = Period::ALL.map(|period| ask(&counters, period.as_str(), period, 4.0));
    // From 1 January 2024, a leap year, a request every 37 minutes.
    let from = 1_704_067_200_000_u64;
    let (mut windows, mut counts) = ([0; 6], [0; 6]);
    for now in (from..from + 731 * 86_400_000).step_by(37 * 60_000) {
        for (index, ask) in asks.iter().enumerate() {
            let window = ask.period.window(u32::try_from(now / 1000).unwrap()).start;
            if window != windows[index] {
                (windows[index], counts[index]) = (window, 0);
            }
            let taken = counters.take(&[*ask], now);
            assert_eq!(taken.allowed, counts[index] < 4, "{:?} {now}", ask.period);
            counts[index] += i32::from(taken.allowed);
        }
        counters.sweep(now);
    }
    assert!(counters.len() <= Period::ALL.len());
}

#[test]
fn thread_with_a_slower_clock_does_not_begin_the_window_again() {
    let counters = Counters::default();
    let asks = [ask(&counters, "a", Period::Second, 2.0)];
    assert_eq!(pass(&counters, &asks, 5, 2000), 2);
    for (now, passed) in [(1999, 0), (2001, 0), (1000, 0), (2999, 0), (3000, 2)] {
        assert_eq!(pass(&counters, &asks, 5, now), passed, "{now}");
    }
    // A clock that was set back begins new windows, and is followed.
    assert_eq!(pass(&counters, &asks, 5, 3_600_000), 2);
    assert_eq!(pass(&counters, &asks, 5, 1_800_000), 2);
    assert_eq!(pass(&counters, &asks, 5, 1_800_999), 0);
}

#[test]
fn sliding_window_has_no_double_burst_at_its_border() {
    let counters = Counters::default();
    let sliding = [Ask { sliding: true, ..ask(&counters, "a", Period::Minute, 60.0) }];
    let fixed = [ask(&counters, "b", Period::Minute, 60.0)];
    // In the order of time: the clock of a shard never goes back, and both may be in the same one.
    assert_eq!(pass(&counters, &fixed, 100, 2 * MINUTE - 1), 60);
    assert_eq!(pass(&counters, &sliding, 100, 2 * MINUTE - 1), 60);
    assert_eq!(pass(&counters, &fixed, 100, 2 * MINUTE), 60);
    for (after, passed) in [(0, 0), (999, 0), (1000, 1), (30_000, 29), (59_999, 29), (60_000, 1)] {
        assert_eq!(pass(&counters, &sliding, 100, 2 * MINUTE + after), passed, "{after}");
    }
    // In any minute at most the limit, with one request each 100 ms.
    let steady = [Ask { sliding: true, ..ask(&counters, "c", Period::Minute, 60.0) }];
    let times: Vec<u64> =
        (10 * MINUTE..15 * MINUTE).step_by(100).filter(|now| counters.take(&steady, *now).allowed).collect();
    assert!(times.len() >= 4 * 60, "{}", times.len());
    counters.sweep(15 * MINUTE);
    assert!(used(&counters, &steady, 15 * MINUTE)[0] > 0.0);
}

#[test]
fn counters_have_a_bound_and_none_that_leaves_gets_its_limit_again() {
    let counters = Counters::new(SHARDS * 4);
    let victims: Vec<Ask> =
        (0..50).map(|name| ask(&counters, &format!("victim {name}"), Period::Hour, 3.0)).collect();
    for victim in &victims {
        assert_eq!(pass(&counters, &[*victim], 9, MINUTE), 3);
    }
    let mut denied = 0;
    for name in 0..5000 {
        let once = ask(&counters, &format!("{name}"), Period::Hour, 3.0);
        denied += u32::from(!counters.take(&[once], MINUTE).allowed);
    }
    assert!(counters.len() <= SHARDS * 4);
    assert!(victims.iter().all(|victim| pass(&counters, &[*victim], 9, 2 * MINUTE) == 0));
    // Estimates are too high for few.
    assert!(denied < 250, "{denied}");
    // Another window begins with nothing.
    assert_eq!(pass(&counters, &victims[..1], 9, 61 * MINUTE), 3);
}

/// A search that is not bounded so would look at thousands of places.
#[test]
fn searches_stay_short_when_all_windows_are_over_at_once() {
    const MOST: usize = 64 * 2000;
    let counters = Counters::new(MOST);
    for window in 1..4 {
        for name in 0..MOST {
            let new = ask(&counters, &format!("{window} {name}"), Period::Minute, 1.0);
            counters.take(&[new], window * MINUTE);
            if name % 16_000 == 0 {
                let longest = counters.shards.iter().map(|part| part.0.lock().longest_run()).max();
                assert!(longest < Some(500), "{window} {name} {longest:?}");
            }
        }
    }
    assert!(counters.len() <= MOST);
}

#[test]
fn counters_are_prefetched_where_they_are() {
    let counters = Counters::default();
    for name in 0..5000 {
        let ask = ask(&counters, &name.to_string(), Period::Hour, 5.0);
        counters.take(&[ask], MINUTE);
        let shard = counters.shards[number(ask.subject)].0.lock();
        let there = shard.lines(ask.subject, ask.period);
        assert!(there.is_some() && counters.lines(ask.subject, ask.period) == there, "{name}");
    }
}

#[test]
fn new_counter_does_not_take_the_place_of_one_that_the_same_request_counts_on() {
    let counters = Counters::new(1);
    let names: Vec<String> = (0..6).map(|name| name.to_string()).collect();
    let asks: Vec<Ask> = names.iter().map(|name| ask(&counters, name, Period::Hour, 5.0)).collect();
    assert_eq!(pass(&counters, &asks, 20, MINUTE), 5);
}

#[test]
fn memory_of_past_windows_is_given_back() {
    let counters = Counters::default();
    for name in 0..20_000 {
        assert!(counters.take(&[ask(&counters, &name.to_string(), Period::Second, 1.0)], MINUTE).allowed);
    }
    assert_eq!(counters.len(), 20_000);
    let kept = [ask(&counters, "kept", Period::Hour, 1.0)];
    assert_eq!(pass(&counters, &kept, 2, MINUTE), 1);
    counters.sweep(MINUTE + 1000);
    assert_eq!(counters.len(), 1);
    assert_eq!(pass(&counters, &kept, 2, MINUTE + 1000), 0);
}

#[test]
fn counters_go_on_in_the_next_process() {
    let counters = Counters::default();
    let asks = |counters: &Counters| {
        let minute = ask(counters, "a", Period::Minute, 5.0);
        [minute, Ask { sliding: true, ..ask(counters, "b", Period::Hour, 9.0) }]
    };
    // First, since the clock of a shard never goes back, and others may be in the same one.
    pass(&counters, &[ask(&counters, "c", Period::Second, 9.0)], 3, MINUTE - 1000);
    pass(&counters, &asks(&counters), 3, MINUTE);
    let state = counters.export(MINUTE + 5);
    assert_eq!(state.len(), 17 + 2 * 30);
    let restored = Counters::default();
    restored.import(&state, MINUTE + 10);
    assert_eq!(used(&restored, &asks(&restored), MINUTE + 10), [3.0, 3.0]);
    assert_eq!(pass(&restored, &asks(&restored), 9, MINUTE + 10), 2);
}

#[test]
fn state_of_another_form_is_none() {
    let written = Counters::default();
    pass(&written, &[ask(&written, "a", Period::Year, 5.0)], 1, MINUTE);
    let state = written.export(MINUTE);
    let version = |version: u8| [&[version], &state[1..]].concat();
    let imported = |state: &[u8]| {
        let counters = Counters::default();
        counters.import(state, MINUTE);
        counters.len()
    };
    assert_eq!(imported(&state), 1);
    for state in [version(1), version(3), vec![], vec![2], vec![2; 30], vec![0xff; 17 + 30]] {
        assert_eq!(imported(&state), 0);
    }
}

#[test]
fn raised_counter_is_never_lowered_and_only_in_its_window() {
    let counters = Counters::default();
    let one = ask(&counters, "a", Period::Minute, 100.0);
    pass(&counters, &[one], 7, MINUTE);
    for (window, count, usage) in [(60, 3.0, 7.0), (60, 20.0, 20.0), (0, 50.0, 20.0), (120, 50.0, 20.0)] {
        counters.raise(&one, window, count, MINUTE + 1);
        assert_eq!(used(&counters, &[one], MINUTE + 1), [usage], "{window}");
    }
}
