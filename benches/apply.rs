//! Measures how a data plane applies one change: decode, hash, check, build, compare the root, swap. Also
//! counts the allocations of that and of a lookup.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::hint::black_box;
use std::sync::Arc;

use benches::samples::{HEADING, Samples, numbers};
use benches::stage::{host, path, route_id};
use bytes::BytesMut;
use gateway::cluster::Applier;
use gateway::live::Live;
use gateway::route::Request;
use http::{HeaderMap, Method};
use model::{Route, Service};
use tokio::time::Instant;
use uuid::Uuid;
use wire::{Digest, EntityHash, Key, Mode, Position, Record, Update};

const CHANGES: usize = 2000;
const SERVICE: Uuid = Uuid::from_u128(1);

/// The publishing side: its configuration and its position.
struct Publisher {
    digest: Digest,
    position: Position,
}

impl Publisher {
    /// Makes an update that puts these entities.
    fn update(&mut self, mode: Mode, entities: &[(Key, Vec<u8>)]) -> Update {
        let mut payload = BytesMut::new();
        for (key, bytes) in entities {
            self.digest.set(*key, Some(EntityHash::of(*key, bytes)));
            Record { key: *key, value: Some(bytes) }.encode(&mut payload);
        }
        let from = self.position.revision;
        self.position.revision += 1;
        self.position.root = self.digest.root();
        Update::new(mode, if mode == Mode::Snapshot { 0 } else { from }, self.position, payload.freeze())
    }
}

fn main() {
    println!("one changed route, {CHANGES} times, in microseconds; goal: 100 at 100,000 routes");
    println!(" routes    {HEADING}  allocations: apply, lookup");
    for routes in numbers("GIBBON_BENCH_SIZES", &[10, 1_000, 100_000]) {
        measure(routes);
    }
}

fn measure(routes: usize) {
    let live = Arc::new(Live::new());
    let mut applier = Applier::new(Arc::clone(&live));
    let position = Position { epoch: Uuid::from_u128(7), ..Position::default() };
    let mut publisher = Publisher { digest: Digest::new(), position };
    let service = Service { id: SERVICE, host: "10.0.0.1".into(), ..Service::default() };
    let mut entities = vec![(model::Service::key(SERVICE), serde_json::to_vec(&service).unwrap())];
    entities.extend((0..routes).map(|number| route(number, 80)));
    applier.apply(&publisher.update(Mode::Snapshot, &entities)).unwrap();

    let (mut times, mut allocations) = (Samples::default(), Samples::default());
    for n in 0..CHANGES {
        // Each change is at another place of the table, so that the caches are as cold as the table's size
        // makes them.
        let number = n * 7919 % routes;
        let update = publisher.update(Mode::Delta, &[route(number, n as i32)]);
        let begun = Instant::now();
        let counted = allocation_counter::measure(|| assert!(applier.apply(black_box(&update)).is_ok()));
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        allocations.push(counted.count_total as f64);
    }
    println!("{routes:7}    {times}  {:.0}, {}", allocations.at(0.5), lookup_allocations(&live, routes));
}

fn route(number: usize, priority: i32) -> (Key, Vec<u8>) {
    let id = route_id(number);
    let route = Route {
        id,
        service: Some(SERVICE),
        hosts: Some(vec![host(number)]),
        paths: Some(vec![path(number)]),
        methods: Some(vec!["GET".into(), "POST".into()]),
        regex_priority: priority,
        ..Route::default()
    };
    (model::Route::key(id), serde_json::to_vec(&route).unwrap())
}

/// Allocations of a thousand lookups by host, path and method together.
fn lookup_allocations(live: &Live, routes: usize) -> u64 {
    let headers = HeaderMap::new();
    let places: Vec<_> = (0..1000).map(|n| n * 7919 % routes).map(|n| (host(n), path(n) + "/42")).collect();
    let counted = allocation_counter::measure(|| {
        for (host, path) in &places {
            let request =
                Request { method: &Method::GET, host, port: 80, path, headers: &headers, sni: None };
            assert!(live.load().as_ref().unwrap().lookup(black_box(&request)).is_some());
        }
    });
    counted.count_total
}
