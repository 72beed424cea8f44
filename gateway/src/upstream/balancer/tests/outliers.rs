//! Ejection of outliers and their return, over days of a paused clock.

use super::*;

fn outliers(change: impl FnOnce(&mut Outlier)) -> Settings {
    let mut outlier = Outlier { jitter: 0, ..Outlier::default() };
    change(&mut outlier);
    settings(|settings| settings.outlier = Some(outlier))
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_eject_for_a_time_that_grows() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let balancer = Balancer::new(UPSTREAM, outliers(|_| ()), members(4), &slots);
    for length in [30, 60, 90] {
        for outcome in [answered(502), REFUSED, answered(404), Outcome::TimedOut, answered(503)] {
            report(&balancer, 0, &outcome);
        }
        assert!(!slot(&balancer, 0).report().ejected);
        report(&balancer, 0, &answered(504));
        assert!(slot(&balancer, 0).report().ejected);
        assert_eq!(spread(&balancer, 4, 30), [0, 10, 10, 10]);
        pass(seconds(length) - Duration::from_millis(3)).await;
        assert!(slot(&balancer, 0).report().ejected);
        pass(Duration::from_millis(3)).await;
        assert!(!slot(&balancer, 0).report().ejected);
        assert_eq!(spread(&balancer, 4, 40), [10; 4]);
    }
    assert_eq!(balancer.ejections(), EjectionCounts { consecutive: 3, success_rate: 0 });
}

#[test]
fn a_success_in_between_ejects_nothing() {
    let balancer = balancer(outliers(|_| ()), members(4));
    for _ in 0..100 {
        (0..4).for_each(|_| report(&balancer, 0, &answered(503)));
        report(&balancer, 0, &answered(200));
    }
    assert!(!slot(&balancer, 0).report().ejected);
}

#[test]
fn half_may_be_ejected_and_never_the_last() {
    let balancer = balancer(outliers(|_| ()), members(5));
    for number in 0..5 {
        (0..9).for_each(|_| report(&balancer, number, &REFUSED));
    }
    let ejected =
        |balancer: &Balancer| balancer.health().members.iter().filter(|member| member.slot.ejected).count();
    assert_eq!(ejected(&balancer), 2);
    let all = balancer.succeed(outliers(|outlier| outlier.max_percent = 100), members(5));
    for number in 0..5 {
        (0..9).for_each(|_| report(&all, number, &REFUSED));
    }
    assert_eq!(ejected(&all), 4);
    assert!(choose(&all).is_ok());
}

#[test]
fn the_last_that_health_left_is_not_ejected() {
    let balancer = balancer(outliers(|_| ()), members(4));
    (0..3).for_each(|number| slot(&balancer, number).force(Health::Unhealthy, Instant::now()));
    (0..9).for_each(|_| report(&balancer, 3, &REFUSED));
    assert!(!slot(&balancer, 3).report().ejected);
}

#[tokio::test(start_paused = true)]
async fn a_low_share_of_successes_ejects() {
    let slots = Slots::new();
    let settings = outliers(|outlier| {
        outlier.consecutive = 0;
        outlier.success_rate = 80.0;
    });
    let balancer = Balancer::new(UPSTREAM, settings, members(4), &slots);
    let window = |bad: u32| {
        for n in 0..200 {
            for number in 0..4 {
                let status = if number == 0 && n % 100 < bad { 502 } else { 200 };
                report(&balancer, number, &answered(status));
            }
        }
    };
    window(15);
    pass(seconds(10)).await;
    window(25);
    assert!(!slot(&balancer, 0).report().ejected);
    pass(seconds(10)).await;
    window(0);
    assert!(slot(&balancer, 0).report().ejected);
    assert_eq!(balancer.ejections(), EjectionCounts { consecutive: 0, success_rate: 1 });
}

#[tokio::test(start_paused = true)]
async fn few_requests_say_nothing() {
    let settings = outliers(|outlier| {
        outlier.consecutive = 0;
        outlier.success_rate = 80.0;
    });
    let balancer = balancer(settings, members(4));
    for _ in 0..10 {
        (0..99).for_each(|_| report(&balancer, 0, &answered(502)));
        pass(seconds(10)).await;
    }
    assert!(!slot(&balancer, 0).report().ejected);
}

#[test]
fn an_operator_ends_an_ejection() {
    let balancer = balancer(outliers(|_| ()), members(4));
    (0..5).for_each(|_| report(&balancer, 0, &REFUSED));
    assert!(slot(&balancer, 0).report().ejected);
    slot(&balancer, 0).force(Health::Healthy, Instant::now());
    assert!(!slot(&balancer, 0).report().ejected);
    assert_eq!(spread(&balancer, 4, 40), [10; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_flapping_member_is_out_most_of_the_time() {
    let slots = Slots::new();
    let _time = keep_time(&slots);
    let balancer = Balancer::new(UPSTREAM, outliers(|_| ()), members(4), &slots);
    let mut asked = 0;
    for _ in 0..86_400 {
        pass(seconds(1)).await;
        for _ in 0..8 {
            let mut chosen = choose(&balancer).unwrap();
            let bad = number(&chosen) == 0;
            asked += u32::from(bad);
            chosen.report(&if bad { REFUSED } else { answered(200) }, Instant::now());
        }
    }
    // Two requests a second until five have failed, then out for up to five minutes.
    assert!(asked < 5 * (86_400 / 300 + 20), "{asked}");
}
