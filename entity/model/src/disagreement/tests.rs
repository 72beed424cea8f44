use super::*;

fn texts(values: &[&str]) -> Option<Vec<String>> {
    Some(values.iter().map(|&value| value.to_owned()).collect())
}

fn route(id: u128, paths: &[&str]) -> Route {
    Route { id: Uuid::from_u128(id), paths: texts(paths), ..Route::default() }
}

/// Kong's documents count the attributes first, its program looks for hosts without a wildcard first.
fn by_host_and_by_header() -> [Route; 2] {
    let by_host = Route { hosts: texts(&["shop.test"]), ..route(1, &["/cart"]) };
    let headers = BTreeMap::from([("x-version".to_owned(), vec!["2".to_owned()])]);
    let by_header = Route { methods: texts(&["PUT"]), headers: Some(headers), ..route(2, &["/"]) };
    [by_host, by_header]
}

/// All of them.
fn found(routes: &[Route]) -> Vec<Disagreement> {
    let Disagreements { found, bounded } = disagreements(routes);
    assert!(!bounded);
    found
}

#[test]
fn a_request_shows_where_the_orders_disagree() {
    let request = SampleRequest {
        method: "PUT".into(),
        host: "shop.test".into(),
        port: 80,
        path: "/cart".into(),
        headers: vec![("x-version".into(), "2".into())],
    };
    let expected = Disagreement { strict: Uuid::from_u128(2), kong3: Uuid::from_u128(1), request };
    assert_eq!(found(&by_host_and_by_header()), [expected]);
}

#[test]
fn routes_that_no_request_matches_both_do_not_disagree() {
    let [by_host, by_header] = by_host_and_by_header();
    let elsewhere = Route { hosts: texts(&["*.other.test"]), ..by_header.clone() };
    assert_eq!(found(&[by_host.clone(), elsewhere]), []);
    let other_path = Route { paths: texts(&["/other"]), ..by_header };
    assert_eq!(found(&[by_host, other_path]), []);
}

#[test]
fn patterns_have_samples() {
    let [by_host, by_header] = by_host_and_by_header();
    let by_host = Route { paths: texts(&[r"~/cart/(?<id>[0-9]{2,})$"]), ..by_host };
    let by_header = Route {
        paths: texts(&["/cart"]),
        headers: Some(BTreeMap::from([("x-version".to_owned(), vec!["~*^v[12]$".to_owned()])])),
        ..by_header
    };
    let found = found(&[by_host, by_header]);
    let request = &found[0].request;
    assert_eq!((request.path.as_str(), &request.headers[0].1[..]), ("/cart/00", "v1"));
}

#[test]
fn many_routes_of_one_form_do_not_disagree() {
    let routes: Vec<_> = (0..2000).map(|id| route(id, &[&format!("/{id}")])).collect();
    assert_eq!(found(&routes), []);
}

#[test]
fn search_that_ends_early_says_so() {
    let [by_host, by_header] = by_host_and_by_header();
    let many = (1..=FOUND as u128 + 1).map(|number| Route {
        id: Uuid::from_u128(number),
        hosts: texts(&[&format!("{number}.test")]),
        ..by_host.clone()
    });
    let routes: Vec<_> = many.chain([Route { id: Uuid::from_u128(0), ..by_header }]).collect();
    let Disagreements { found, bounded } = disagreements(&routes);
    assert_eq!((found.len(), bounded), (FOUND, true));
    assert!(!disagreements(&routes[2..]).bounded);
}
