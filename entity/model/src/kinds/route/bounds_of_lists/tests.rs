use std::collections::BTreeMap;

use super::*;
use crate::bounds::NAME;
use crate::{Entity, GivenCommon, Map, Service};

fn broken(route: &Route) -> Vec<String> {
    let violations = route.validate_write().err().unwrap_or_default();
    violations.iter().map(|(path, message)| format!("{path}: {message}")).collect()
}

fn many(count: usize, name: impl Fn(usize) -> String) -> Option<Vec<String>> {
    Some((0..count).map(name).collect())
}

fn hosts_and_paths(hosts: usize, paths: usize) -> Route {
    Route {
        hosts: many(hosts, |n| format!("h{n}.test")),
        paths: many(paths, |n| format!("/p{n}")),
        ..Route::default()
    }
}

#[test]
fn lists_have_a_greatest_length() {
    for (hosts, paths, message) in [
        (5000, 2, None),
        (10, 1000, None),
        (5001, 1, Some("hosts: must have at most 5000 elements, it has 5001")),
        (1, 1001, Some("paths: must have at most 1000 elements, it has 1001")),
        (
            101,
            100,
            Some("paths: hosts times paths must be at most 10000, 101 hosts and 100 paths make 10100"),
        ),
    ] {
        let told = broken(&hosts_and_paths(hosts, paths));
        assert_eq!(told.first().map(String::as_str), message, "{hosts} x {paths}");
    }
    let mut route = hosts_and_paths(1, 1);
    route.methods = many(51, |_| "GET".into());
    route.snis = many(501, |n| format!("s{n}.test"));
    route.headers = Some((0..51).map(|n| (format!("x-{n}"), vec!["1".into()])).collect());
    assert_eq!(
        broken(&route),
        [
            "headers: must have at most 50 headers, it has 51",
            "methods: must have at most 50 elements, it has 51",
            "snis: must have at most 500 elements, it has 501",
        ]
    );
}

#[test]
fn texts_have_a_greatest_length_and_are_not_repeated() {
    let mut route = hosts_and_paths(1, 1);
    route.name = Some("n".repeat(NAME + 1));
    route.hosts = Some(vec!["ok".into(), "h".repeat(1 << 20)]);
    route.headers = Some(BTreeMap::from([("x".into(), vec!["v".repeat(HEADER_VALUE + 1)])]));
    assert_eq!(
        broken(&route),
        [
            "headers: length must be at most 4096 bytes, it has 4097",
            "hosts.2: length must be at most 261 bytes, it has 1048576",
            "name: length must be at most 1024 bytes, it has 1025",
        ]
    );
    let long = Route { paths: many(300, |n| format!("/{n}/{}", "p".repeat(4000))), ..hosts_and_paths(5, 1) };
    assert!(broken(&long)[0].contains("bytes of all paths must be at most 4194304"), "{:?}", broken(&long));
    let service = Service { host: "h".repeat(300), ..Service::default() };
    let told = service.validate_write().unwrap_err().to_string();
    assert!(told.contains("host: length must be at most 261 bytes, it has 300"), "{told}");
}

#[test]
fn tags_are_bounded() {
    let refused = |tags: Vec<String>| {
        let mut violations = Violations::default();
        let mut fields = Map::from_iter([("tags".to_owned(), tags.into())]);
        GivenCommon::take(&mut fields, false, crate::Times::Seconds, &mut violations);
        violations.to_string()
    };
    assert_eq!(
        refused(many(101, |n| n.to_string()).unwrap()),
        "schema violation (tags: must have at most 100 elements, it has 101)"
    );
    assert_eq!(
        refused(vec!["ok".into(), "t".repeat(513)]),
        "schema violation (tags.2: length must be at most 512 bytes, it has 513)"
    );
}

#[test]
fn regular_expressions_share_a_budget() {
    let route =
        |count, pattern: fn(usize) -> String| Route { paths: many(count, pattern), ..Route::default() };
    assert!(broken(&route(100, |n| format!("~/a{n}/\\d+$"))).is_empty());
    let told = broken(&route(101, |n| format!("~/a{n}")));
    assert_eq!(told, ["paths: must have at most 100 regular expressions, it has 101"]);
    let told = broken(&route(50, |n| format!("~/{n}/\\w{{20}}")));
    assert!(told[0].contains("together at most 4194304 bytes once compiled"), "{told:?}");
}

/// An entity that an older control plane accepted does not keep a data plane from starting.
#[test]
fn a_data_plane_holds_more_than_can_be_written() {
    let mut held = hosts_and_paths(600, 400);
    held.name = Some("n".repeat(2000));
    held.headers = Some(BTreeMap::from([("x.y".into(), vec!["1".into()])]));
    assert_eq!(held.validate(), Ok(()));
    assert!(held.validate_write().is_err());
    let large = Route { paths: Some(vec!["~/[a-z]{10000}".into()]), ..Route::default() };
    assert_eq!(large.validate(), Ok(()));
    assert!(
        broken(&large)[0].starts_with("paths.1: invalid regex: '/[a-z]{10000}' ("),
        "{:?}",
        broken(&large)
    );
    let told = hosts_and_paths(3000, 3000).validate().unwrap_err().to_string();
    assert!(told.contains("hosts times paths must be at most 250000"), "{told}");
}
