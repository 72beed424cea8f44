//! Which keys move, and which must not.

use proptest::prelude::*;

use super::*;

const KEYS: u64 = 20_000;

fn hashing() -> Settings {
    settings(|settings| settings.algorithm = Algorithm::ConsistentHashing)
}

fn owners(balancer: &Balancer) -> Vec<u16> {
    (0..KEYS).map(|key| number(&balancer.choose(&wish(Some(key))).unwrap())).collect()
}

/// Share of the keys that `moved`, in percent.
fn percent(moved: usize) -> f64 {
    moved as f64 * 100.0 / KEYS as f64
}

fn without(all: &[Member], gone: u16) -> Vec<Member> {
    let gone = Uuid::from_u128(u128::from(gone));
    all.iter().filter(|member| member.identity.target != gone).cloned().collect()
}

#[test]
fn one_of_ten_that_leaves_moves_its_own_keys_alone_and_gets_them_back() {
    let all = members(10);
    let full = balancer(hashing(), all.clone());
    let before = owners(&full);
    for gone in 0..10 {
        let fewer = full.succeed(hashing(), without(&all, gone));
        let during = owners(&fewer);
        let moved = (0..before.len()).filter(|key| before[*key] != during[*key]);
        let (own, others): (Vec<usize>, Vec<usize>) = moved.partition(|key| before[*key] == gone);
        assert!(others.is_empty());
        assert!(percent(own.len()) <= 12.0, "{}", percent(own.len()));
        let again = fewer.succeed(hashing(), all.clone());
        assert_eq!(owners(&again), before);
    }
}

#[test]
fn an_unhealthy_member_moves_its_own_keys_alone_and_rebuilds_nothing() {
    let balancer = balancer(hashing(), members(10));
    let (before, view) = (owners(&balancer), balancer.view());
    slot(&balancer, 4).force(Health::Unhealthy, Instant::now());
    let during = owners(&balancer);
    for key in 0..before.len() {
        assert_eq!(before[key] != during[key], before[key] == 4);
    }
    // The keys of the unhealthy member go to all others.
    let mut gained = [0; 10];
    for key in (0..before.len()).filter(|key| before[*key] == 4) {
        gained[usize::from(during[key])] += 1;
    }
    assert!(gained.iter().filter(|gained| **gained > 100).count() == 9, "{gained:?}");
    slot(&balancer, 4).force(Health::Healthy, Instant::now());
    assert_eq!(owners(&balancer), before);
    assert!(Arc::ptr_eq(&view, &balancer.view()));
}

#[test]
fn a_drained_member_moves_its_own_keys_alone_and_rebuilds_nothing() {
    let mut all = members(10);
    let ready = balancer(hashing(), all.clone());
    let before = owners(&ready);
    all[7].state = State::Drain { until: None };
    let drained = ready.succeed(hashing(), all);
    let during = owners(&drained);
    for key in 0..before.len() {
        assert_eq!(before[key] != during[key], before[key] == 7);
    }
    let table = |balancer: &Balancer| balancer.view().regular.table.clone().unwrap();
    assert!(Arc::ptr_eq(&table(&ready), &table(&drained)));
}

#[test]
fn a_weight_moves_keys_of_its_member_alone() {
    let mut all = members(10);
    let full = balancer(hashing(), all.clone());
    let before = owners(&full);
    all[3].weight = 50;
    let during = owners(&full.succeed(hashing(), all));
    let moved: Vec<usize> = (0..before.len()).filter(|key| before[*key] != during[*key]).collect();
    assert!(moved.iter().all(|key| before[*key] == 3));
    assert!((4.0..6.0).contains(&percent(moved.len())), "{}", percent(moved.len()));
}

#[test]
fn all_data_planes_choose_the_same_whatever_the_order() {
    let mut all = members(20);
    let one = owners(&balancer(hashing(), all.clone()));
    all.reverse();
    for member in &mut all {
        // An id of another database.
        let id = member.identity.target.as_u128() as u16;
        member.identity.target = Uuid::from_u128(u128::from(id));
    }
    assert_eq!(owners(&balancer(hashing(), all)), one);
}

#[test]
fn hundreds_of_members_have_even_shares() {
    for (count, most) in [(62, 1.25), (200, 1.5), (1_000, 1.5)] {
        let balancer = balancer(hashing(), members(count));
        let table = balancer.view().regular.table.clone().unwrap();
        let mut shares = vec![0_u32; usize::from(count)];
        table.owners().iter().for_each(|owner| shares[usize::from(*owner)] += 1);
        let mean = table.owners().len() as f64 / f64::from(count);
        let highest = f64::from(*shares.iter().max().unwrap()) / mean;
        assert!(highest < most && shares.iter().all(|share| *share > 0), "{count}: {highest}");
    }
}

#[test]
fn a_request_without_a_key_is_served_in_turn() {
    let balancer = balancer(hashing(), members(4));
    assert_eq!(spread(&balancer, 4, 400), [100; 4]);
}

#[test]
fn a_retry_takes_the_same_next_member_everywhere() {
    let next = |balancer: &Balancer, key| {
        let mut tried = Tried::default();
        tried.add(&balancer.choose(&wish(Some(key))).unwrap());
        number(&balancer.choose(&Wish { tried: &tried, ..wish(Some(key)) }).unwrap())
    };
    let (one, other) = (balancer(hashing(), members(10)), balancer(hashing(), members(10)));
    assert!((0..1_000).all(|key| next(&one, key) == next(&other, key)));
}

#[test]
fn one_member_of_many_that_is_left_serves_all_keys() {
    let balancer = balancer(hashing(), members(300));
    for number in 0..299 {
        slot(&balancer, number).force(Health::Unhealthy, Instant::now());
    }
    assert!(owners(&balancer).iter().all(|owner| *owner == 299));
}

#[test]
fn a_hot_key_overflows_to_others() {
    let settings = settings(|settings| {
        settings.algorithm = Algorithm::ConsistentHashing;
        settings.hash_balance_factor = 150;
    });
    let balancer = balancer(settings, members(5));
    let held: Vec<Chosen> = (0..100).map(|_| balancer.choose(&wish(Some(1))).unwrap()).collect();
    let mut counts: Vec<u32> = (0..5).map(|number| slot(&balancer, number).in_flight()).collect();
    counts.sort_unstable();
    assert_eq!(*counts.last().unwrap(), 30, "{counts:?}");
    drop(held);
    // Without load the key has its owner again.
    let owner = |_| number(&balancer.choose(&wish(Some(1))).unwrap());
    assert!((0..100).map(owner).all(|number| number == owner(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_member_that_comes_or_goes_moves_only_its_own_keys(
        weights in prop::collection::vec(1_u32..1_000, 2..30),
        gone in any::<prop::sample::Index>(),
    ) {
        let all: Vec<Member> =
            weights.iter().enumerate().map(|(number, weight)| member(number as u16, *weight)).collect();
        let gone = gone.index(all.len()) as u16;
        let full = balancer(hashing(), all.clone());
        let (before, during) = (owners(&full), owners(&full.succeed(hashing(), without(&all, gone))));
        for key in 0..before.len() {
            prop_assert_eq!(before[key] != during[key], before[key] == gone);
        }
    }
}
