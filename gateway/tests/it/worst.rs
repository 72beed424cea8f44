//! The worst case of a lookup for one request. The figures are printed; the bounds allow for a busy machine
//! and a build without optimisation.

use std::thread;
use std::time::Duration;

use gateway::live;
use gateway::route::{Match, Request};
use gateway::table::{Builder, Change, Table};
use http::{HeaderMap, HeaderValue, Method};
use model::Route;
use tokio::time::Instant;
use uuid::Uuid;

const BOUND: Duration = Duration::from_secs(2);

fn table(routes: impl IntoIterator<Item = Route>) -> Table {
    let numbered = routes.into_iter().zip(1..).map(|(route, id)| Route { id: Uuid::from_u128(id), ..route });
    Builder::default().apply(numbered.map(Change::put).collect()).unwrap()
}

fn path(path: String) -> Route {
    Route { paths: Some(vec![path]), ..Route::default() }
}

#[track_caller]
fn measure(what: &str, table: &Table, host: &str, path: &str, headers: &HeaderMap) -> Option<Match> {
    let method = Method::GET;
    let request = Request { method: &method, host, port: 80, path, headers, sni: None };
    // Allocations at the first use are not the request's.
    let found = table.lookup(&request);
    let started = Instant::now();
    std::hint::black_box(table.lookup(&request));
    let took = started.elapsed();
    eprintln!("{what}: {took:?}");
    assert!(took < BOUND, "{what}: {took:?}");
    found
}

/// Tables are built and freed on threads with this stack.
fn on_stack_of_tables(test: fn()) {
    thread::Builder::new().stack_size(live::STACK).spawn(test).unwrap().join().unwrap();
}

#[test]
fn the_worst_request_takes_bounded_time() {
    on_stack_of_tables(worst_requests);
}

/// Each reading is another look-up, and all lead to the same route: none ends the search.
#[test]
fn the_worst_ambiguous_path_takes_bounded_time() {
    on_stack_of_tables(worst_ambiguous_paths);
}

fn worst_requests() {
    let (none, slash) = (HeaderMap::new(), "/");

    let wildcards =
        ["*.example", "example.*"].map(|host| Route { hosts: Some(vec![host.into()]), ..Route::default() });
    let longest = "a.".repeat(model::MAX_HOST / 2);
    measure("host of 127 labels, two wildcards", &table(wildcards), &longest, slash, &none);

    let deep = (1..=2000).map(|depth| path("/a".repeat(depth)));
    measure("path of 4,096 segments, 2,000 nested prefixes", &table(deep), "h", &"/a".repeat(4096), &none);

    // About the largest that can be written.
    let regex = table([path(r"~/.*[ab].{200}x".into())]);
    let random: String =
        (0..8190_u32).map(|n| if n.wrapping_mul(2_654_435_761) >> 31 == 0 { 'a' } else { 'b' }).collect();
    measure("path of 8 KiB, an expression of 200 places alive", &regex, "h", &format!("/{random}"), &none);

    let wanted = vec![r"~*[ab].{500}x".to_owned()];
    let by_header = Route { headers: Some([("x".to_owned(), wanted)].into()), ..Route::default() };
    let mut values = HeaderMap::new();
    for _ in 0..7 {
        values.append("x", HeaderValue::from_str(&random).unwrap());
    }
    measure(
        "64 KiB of header values, an expression of 500 states alive",
        &table([by_header]),
        "h",
        slash,
        &values,
    );

    let ambiguous = "/;a%2F%5C%3B".repeat(680);
    let started = Instant::now();
    let readings = model::other_readings(&ambiguous).len();
    eprintln!("{readings} readings of a path of 8 KiB: {:?}", started.elapsed());
    assert!(started.elapsed() < BOUND);
}

fn worst_ambiguous_paths() {
    let places = "/;a%2F%5C%3B";

    let deep = table((1..=2000).map(|depth| path("/a".repeat(depth))));
    measure_readings("2,000 nested prefixes", &deep, &("/a".repeat(2000) + &places.repeat(340)));

    let regex = table([path(r"~/.*[ab].{200}".into())]);
    let random: String =
        (0..7900_u32).map(|n| if n.wrapping_mul(2_654_435_761) >> 31 == 0 { 'a' } else { 'b' }).collect();
    measure_readings("an expression of 200 places alive", &regex, &format!("/{random}{}", places.repeat(20)));
}

#[track_caller]
fn measure_readings(what: &str, table: &Table, path: &str) {
    let (method, headers) = (Method::GET, HeaderMap::new());
    let request = Request { method: &method, host: "h", port: 80, path, headers: &headers, sni: None };
    let found = table.lookup(&request).unwrap();
    let readings = u32::try_from(model::other_readings(path).len()).unwrap();
    let started = Instant::now();
    let is_ambiguous = table.has_another_reading(&request, &found);
    let took = started.elapsed();
    eprintln!("{readings} readings of a path of 8 KiB, {what}: {took:?}");
    assert!(!is_ambiguous && readings > 1, "{what}: {readings} readings");
    assert!(took < BOUND * readings, "{what}: {took:?}");
}
