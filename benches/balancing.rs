//! Measures the choice of a target, with its count of requests in flight up and down again, among 1, 10 and 1,000
//! targets by each algorithm: with all of them healthy, and with each tenth unhealthy. A choice allocates nothing.
//! Also measures one locked addition, of which each choice needs two, the report of an answer, and the building of a
//! balancer.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::upstream::balancer::{
    Algorithm, Balancer, Health, Identity, Member, Operation, Outcome, Settings, Slots, State, Tried, Wish,
};
use tokio::time::Instant;
use uuid::Uuid;

const SIZES: [u16; 3] = [1, 10, 1_000];
const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("round-robin", Algorithm::RoundRobin),
    ("least-connections", Algorithm::LeastConnections),
    ("consistent-hashing", Algorithm::ConsistentHashing),
    ("latency", Algorithm::Latency),
    ("sticky-sessions", Algorithm::StickySessions),
];
/// An odd number, whose multiples are keys in no order.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

fn choices(criterion: &mut Criterion) {
    let tried = Tried::default();
    for (unhealthy, group) in [(false, "choice"), (true, "choice, each tenth unhealthy")] {
        let mut group = criterion.benchmark_group(group);
        for (name, algorithm) in ALGORITHMS {
            for size in SIZES {
                let balancer = balancer(algorithm, size);
                if unhealthy {
                    eject_each_tenth(&balancer);
                }
                let (now, ids) = (Instant::now(), sticky_ids(&balancer));
                let mut key = 0_u64;
                let mut choose = || {
                    key = key.wrapping_add(STEP);
                    let sticky = (algorithm == Algorithm::StickySessions)
                        .then(|| ids[(key >> 32) as usize % ids.len()]);
                    let wish = Wish { key: Some(key), sticky, tried: &tried, now };
                    drop(black_box(balancer.choose(black_box(&wish)).unwrap()));
                };
                choose();
                assert_eq!(allocation_counter::measure(&mut choose).count_total, 0);
                group.bench_function(BenchmarkId::new(name, size), |bencher| bencher.iter(&mut choose));
            }
        }
        group.finish();
    }
}

fn parts(criterion: &mut Criterion) {
    let count = AtomicU64::new(0);
    criterion.bench_function("one locked addition", |bencher| {
        bencher.iter(|| black_box(&count).fetch_add(1, Ordering::Relaxed));
    });
    let mut group = criterion.benchmark_group("report of an answer");
    for (name, algorithm) in ALGORITHMS {
        let (balancer, tried, now) = (balancer(algorithm, 10), Tried::default(), Instant::now());
        let mut chosen = balancer.choose(&Wish { key: Some(1), sticky: None, tried: &tried, now }).unwrap();
        let answered = Outcome::Answered { status: 200, took: Duration::from_millis(3) };
        group.bench_function(name, |bencher| {
            bencher.iter(|| chosen.report(black_box(&answered), now));
        });
    }
    group.finish();
}

fn builds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    for (name, algorithm) in &ALGORITHMS[..3] {
        for size in SIZES {
            group.bench_function(BenchmarkId::new(*name, size), |bencher| {
                bencher.iter(|| balancer(*algorithm, size));
            });
        }
    }
    group.finish();
}

fn balancer(algorithm: Algorithm, size: u16) -> Arc<Balancer> {
    let settings = Settings { algorithm, ..Settings::new("bench".into()) };
    Balancer::new(Uuid::nil(), settings, (0..size).map(member).collect(), &Slots::new())
}

fn member(number: u16) -> Member {
    let text = format!("10.0.{}.{}:80", number / 250, number % 250);
    Member {
        identity: Identity {
            target: Uuid::from_u128(u128::from(number)),
            text: text.as_str().into(),
            host: text.as_str().into(),
            address: text.parse().unwrap(),
            server_name: None,
        },
        weight: 100,
        failover: false,
        state: State::Ready,
        zone: None,
        operation: None,
    }
}

fn eject_each_tenth(balancer: &Balancer) {
    for (_, slot) in balancer.members().iter().skip(3).step_by(10) {
        let operation = Operation { health: Health::Unhealthy, set_at: 1, until: None };
        slot.operate(&operation, Instant::now());
    }
}

fn sticky_ids(balancer: &Balancer) -> Vec<u64> {
    balancer.members().iter().map(|(_, slot)| slot.sticky_id()).collect()
}

criterion_group!(benches, parts, choices, builds);
criterion_main!(benches);
