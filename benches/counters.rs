//! Measures the counters of limits: a decision, and the memory of 1,000,000 counters, which is printed.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the memory is a figure that this bench is run for")]

use std::hint::black_box;
use std::sync::LazyLock;

use criterion::{Criterion, criterion_group, criterion_main};
use gateway::counting::clock::unix_millis;
use gateway::counting::counters::{Ask, Counters, Namespace, Period, Scope};
use uuid::Uuid;

const KEYS: usize = 1_000_000;
/// The step through the keys, so that no cache knows the next one.
const STEP: usize = 618_033;
/// The unit of `/proc/self/statm`, on every machine that runs this.
const PAGE: usize = 4096;
/// A limit that no bench reaches.
const ANY: f64 = 1e15;

fn decisions(criterion: &mut Criterion) {
    let ids: Vec<Uuid> = (0..KEYS).map(|_| Uuid::new_v4()).collect();
    let before = resident();
    let (counters, now) = (Counters::default(), unix_millis());
    for id in &ids {
        counters.take(&[ask(&counters, id, Period::Hour, ANY)], now);
    }
    println!("{} bytes a counter, of {} counters", (resident() - before) / KEYS, counters.len());

    let mut group = criterion.benchmark_group("counters");
    let hot = ids[0];
    group.bench_function("one limit", |bencher| {
        bencher.iter(|| counters.take(black_box(&[ask(&counters, &hot, Period::Hour, ANY)]), now));
    });
    group.bench_function("one limit, refused", |bencher| {
        bencher.iter(|| counters.take(black_box(&[ask(&counters, &hot, Period::Day, 0.5)]), now));
    });
    group.bench_function("three limits", |bencher| {
        bencher.iter(|| {
            let periods = [Period::Second, Period::Minute, Period::Month];
            counters.take(black_box(&periods.map(|period| ask(&counters, &hot, period, ANY))), now)
        });
    });
    let mut next = 0;
    group.bench_function("one limit, 1,000,000 keys in turn", |bencher| {
        bencher.iter(|| {
            next = (next + STEP) % KEYS;
            counters.take(black_box(&[ask(&counters, &ids[next], Period::Hour, ANY)]), now)
        });
    });
    group.bench_function("new key at the bound", |bencher| {
        let mut number = 0;
        bencher.iter(|| {
            number += 1;
            let id = Uuid::from_u128(number);
            counters.take(black_box(&[ask(&counters, &id, Period::Hour, ANY)]), now)
        });
    });
    group.finish();
}

fn ask(counters: &Counters, id: &Uuid, period: Period, limit: f64) -> Ask {
    static NAMESPACE: LazyLock<Namespace> =
        LazyLock::new(|| Namespace::new(&Scope::default(), b"rate-limiting"));
    let subject = counters.subject(&NAMESPACE, id.as_bytes());
    Ask { subject, period, limit, sliding: false, cost: 1.0 }
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

criterion_group!(benches, decisions);
criterion_main!(benches);
