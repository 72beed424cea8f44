//! Measures the lookup of a request's route, by host, path and method, in tables of 10, 1,000 and 100,000
//! routes. Also measures one change of a route, which copies one path of the table.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use gateway::route::Request;
use gateway::table::{Builder, Change, Table};
use http::{HeaderMap, Method};
use model::{Route, Service};
use uuid::Uuid;

const SIZES: [u128; 3] = [10, 1_000, 100_000];
/// The number of different requests, so that neither a branch predictor nor a cache knows the next one.
const REQUESTS: usize = 4096;

/// The part of a request by which routes differ.
#[derive(Clone, Copy)]
enum Shape {
    /// Each route has its own host.
    Hosts,
    /// All routes are on one host, each under its own prefix.
    Paths,
    /// A hundred routes on each host.
    Both,
}

const SHAPES: [(&str, Shape); 3] = [("hosts", Shape::Hosts), ("paths", Shape::Paths), ("both", Shape::Both)];

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for (name, shape) in SHAPES {
        for size in SIZES {
            let (_, table) = table(shape, size);
            let requests = requests(shape, size);
            let mut next = 0;
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    next = (next + 1) % REQUESTS;
                    look_up(&table, &requests[next])
                });
            });
        }
    }
    group.finish();
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one change");
    for (name, shape) in SHAPES {
        for size in SIZES {
            let (mut builder, mut live) = table(shape, size);
            let mut number = 0;
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_batched(
                    || {
                        number = (number + 7919) % size;
                        vec![Change::put(route(shape, number))]
                    },
                    // The previous table stays alive until then, as it does behind requests.
                    |change| std::mem::replace(&mut live, builder.apply(change).unwrap()),
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

fn builds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    let all = configuration(Shape::Both, 100_000);
    group.bench_function(BenchmarkId::new("both", 100_000), |bencher| {
        bencher.iter_batched(|| all.clone(), |all| Builder::new().apply(all), BatchSize::PerIteration);
    });
    group.finish();
}

fn look_up(table: &Table, (host, path): &(String, String)) {
    let headers = HeaderMap::new();
    let request = Request { method: &Method::GET, host, port: 80, path, headers: &headers, sni: None };
    assert!(black_box(table.lookup(black_box(&request))).is_some());
}

fn table(shape: Shape, size: u128) -> (Builder, Table) {
    let mut builder = Builder::new();
    let table = builder.apply(configuration(shape, size)).unwrap();
    (builder, table)
}

fn configuration(shape: Shape, size: u128) -> Vec<Change> {
    let service = Service { id: Uuid::from_u128(1), host: "10.0.0.1".into(), ..Service::default() };
    let routes = (0..size).map(|number| Change::put(route(shape, number)));
    std::iter::once(Change::put(service)).chain(routes).collect()
}

fn route(shape: Shape, number: u128) -> Route {
    let (host, path) = place(shape, number);
    Route {
        id: Uuid::from_u128(0xB000 + number),
        service: Some(Uuid::from_u128(1)),
        hosts: Some(vec![host]),
        paths: Some(vec![path]),
        methods: Some(vec!["GET".into(), "POST".into()]),
        ..Route::default()
    }
}

/// Host and path of a route.
fn place(shape: Shape, number: u128) -> (String, String) {
    match shape {
        Shape::Hosts => (format!("tenant-{number}.example.com"), "/api".into()),
        Shape::Paths => ("api.example.com".into(), format!("/v1/service-{number}/items")),
        Shape::Both => {
            (format!("tenant-{}.example.com", number / 100), format!("/v1/service-{}", number % 100))
        }
    }
}

fn requests(shape: Shape, size: u128) -> Vec<(String, String)> {
    let numbers = (0..REQUESTS as u128).map(|n| n * 48_271 % 2_147_483_647 % size);
    let requests = numbers.map(|number| place(shape, number));
    requests.map(|(host, path)| (host, path + "/42/details")).collect()
}

criterion_group!(benches, lookups, changes, builds);
criterion_main!(benches);
