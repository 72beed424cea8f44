//! Measures the memory of the table and of its builder, for each route: the growth of this process's resident
//! set. Printed, not timed.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a figure is what this bench is run for")]

use gateway::table::{Builder, Change};
use model::{Route, Service};
use uuid::Uuid;

const ROUTES: u128 = 100_000;
/// The unit of `/proc/self/statm`, on every machine that runs this.
const PAGE: u128 = 4096;

fn main() {
    let before = resident();
    let mut builder = Builder::new();
    let service = Service { id: Uuid::from_u128(1), host: "10.0.0.1".into(), ..Service::default() };
    builder.apply(vec![Change::put(service)]).unwrap();
    // In small portions, so that the list of changes does not count.
    for number in 0..ROUTES {
        builder.apply(vec![Change::put(route(number))]).unwrap();
    }
    let bytes = resident() - before;
    println!("{} bytes a route, of {ROUTES} routes", bytes / ROUTES);
}

fn route(number: u128) -> Route {
    Route {
        id: Uuid::from_u128(0xB000 + number),
        name: Some(format!("route-{number}")),
        service: Some(Uuid::from_u128(1)),
        hosts: Some(vec![format!("tenant-{}.example.com", number / 100)]),
        paths: Some(vec![format!("/v1/service-{}", number % 100)]),
        ..Route::default()
    }
}

fn resident() -> u128 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u128>().unwrap() * PAGE
}
