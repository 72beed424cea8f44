//! The table against [`model::decide`], a linear search over the same routes, for tables reached by random
//! edits.

use model::Entity;
use std::collections::BTreeMap;
use std::sync::Arc;

use gateway::route::Request;
use gateway::table::{Builder, Change, Table};
use http::{HeaderMap, Method};
use model::{AnyEntity, MatchRequest, Matcher, Protocol, Route, Router, RouterOrder, Service, Word};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

const SEEDS: u64 = 200;
const APPLIES: usize = 12;
const REQUESTS: usize = 60;

const ROUTER: Uuid = Uuid::from_u128(1);
const HOSTS: [&str; 14] = [
    "a.com",
    "b.a.com",
    "c.b.a.com",
    "b.com",
    "*.a.com",
    "*.com",
    "a.*",
    "b.a.*",
    "b.*",
    "a.com:81",
    "A.Com:80",
    "*.b.a.com:81",
    "::1",
    "[0::1]:81",
];
const REGEXES: [&str; 6] = ["~/a", r"~/a/\d+$", "~/(a|b)c", "~/ab?", "~/b/(?<x>[ab]+)", "~/|/b"];
const SNIS: [&str; 4] = ["a.com", "*.a.com", "b.*", "B.A.com"];
const METHODS: [&str; 5] = ["GET", "POST", "DELETE", "PURGE", "LOCK"];

/// The configuration as plain maps.
#[derive(Clone, Default)]
struct Model {
    services: BTreeMap<Uuid, Service>,
    routes: BTreeMap<Uuid, Arc<Matcher>>,
    order: RouterOrder,
}

/// The route, and how much of the path it matched.
type Answer = Option<(Uuid, usize)>;

impl Model {
    /// The result by a plain reading of the rules.
    fn lookup(&self, request: &MatchRequest<'_>) -> Answer {
        let enabled = |route: &Route| route.service.is_none_or(|id| self.services[&id].enabled);
        let routes = self.routes.values().map(|matcher| (&**matcher, enabled(matcher.route())));
        model::decide(routes, request).map(|(matcher, hit)| (matcher.route().id, hit.matched))
    }

    /// The state after `changes`; `None` when a route would name a missing service.
    fn after(&self, changes: &[Change]) -> Option<Self> {
        let mut next = self.clone();
        for change in changes {
            let id = change.key().id;
            match change.entity() {
                Some(AnyEntity::Service(service)) => drop(next.services.insert(id, service.clone())),
                Some(AnyEntity::Route(route)) => {
                    let matcher = Matcher::new(route.clone()).unwrap().with_order(next.order);
                    next.routes.insert(id, Arc::new(matcher));
                }
                Some(AnyEntity::Router(router)) => next.order = router.order,
                Some(other) => unreachable!("{other:?} is not made here"),
                None => match change.key().kind {
                    model::kind::SERVICE => drop(next.services.remove(&id)),
                    model::kind::ROUTE => drop(next.routes.remove(&id)),
                    _ => next.order = RouterOrder::default(),
                },
            }
        }
        if changes.iter().any(|change| change.key().kind == model::kind::ROUTER) {
            let made = |route: &Route| Matcher::new(route.clone()).unwrap().with_order(next.order);
            next.routes.values_mut().for_each(|matcher| *matcher = Arc::new(made(matcher.route())));
        }
        let mut named = next.routes.values().filter_map(|matcher| matcher.route().service);
        let good = named.all(|id| next.services.contains_key(&id));
        good.then_some(next)
    }
}

#[test]
fn the_table_answers_as_a_linear_search_does() {
    for seed in 0..SEEDS {
        let random = &mut StdRng::seed_from_u64(seed);
        let mut builder = Builder::new();
        let mut now = (Table::default(), Model::default());
        for _ in 0..APPLIES {
            let before = now.clone();
            let changes = changes(&now.1, random);
            match (builder.apply(changes.clone()), now.1.after(&changes)) {
                (Ok(table), Some(model)) => now = (table, model),
                (Err(_), None) => {}
                (table, model) => panic!("seed {seed}: {:?}, {:?}", table.map(|t| t.len()), model.is_some()),
            }
            compare(&now, seed, random);
            compare(&before, seed, random);
        }
        let all = now.1.services.values().cloned().map(Change::put);
        let all = all.chain(now.1.routes.values().map(|matcher| Change::put(matcher.route().clone())));
        let all = all.chain([router(now.1.order)]).collect();
        let fresh = Builder::new().apply(all).unwrap();
        assert_eq!(fresh.len(), now.0.len(), "seed {seed}");
        compare(&(fresh, now.1), seed, random);
    }
}

/// Each path is the beginning of the next. The shortest takes one more method, which no other takes.
#[test]
fn longest_of_many_nested_prefixes_that_accepts_wins() {
    const NESTED: usize = 20;
    let route = |length: usize| {
        let methods = if length.is_multiple_of(2) { &["GET"][..] } else { &["POST"] };
        let more = (length == 1).then_some("DELETE");
        Change::put(Route {
            id: Uuid::from_u128(length as u128),
            methods: Some(methods.iter().copied().chain(more).map(Into::into).collect()),
            paths: Some(vec!["/a".repeat(length)]),
            ..Route::default()
        })
    };
    let table = Builder::new().apply((1..=NESTED).map(route).collect()).unwrap();
    let (headers, host) = (HeaderMap::new(), "h");
    for asked in 1..=NESTED + 5 {
        let longest = asked.min(NESTED);
        for (method, expected) in [
            (Method::GET, longest - longest % 2),
            (Method::POST, longest - (longest + 1) % 2),
            (Method::DELETE, 1),
            (Method::PUT, 0),
        ] {
            let path = &"/a".repeat(asked);
            let request = Request { method: &method, host, port: 80, path, headers: &headers, sni: None };
            let found = table.lookup(&request).map_or(0, |found| found.route.id.as_u128());
            assert_eq!(found, expected as u128, "{method} {asked}");
        }
    }
}

/// A rejected change leaves the builder unchanged, so that the next change is applied to the same state.
#[test]
fn a_refused_apply_changes_nothing() {
    let service = Service { id: Uuid::from_u128(1), host: "a".into(), ..Service::default() };
    let route = |id, service| Route {
        id: Uuid::from_u128(id),
        service: Some(Uuid::from_u128(service)),
        paths: Some(vec![format!("/{id}")]),
        ..Route::default()
    };
    let mut builder = Builder::new();
    builder.apply(vec![Change::put(service.clone()), Change::put(route(1, 1))]).unwrap();

    let refusal = builder.apply(vec![Change::put(route(2, 1)), Change::put(route(3, 9))]).unwrap_err();
    assert_eq!(refusal.key, model::Route::key(Uuid::from_u128(3)));
    assert_eq!(refusal.field.as_deref(), Some("service"));
    let refusal = builder.apply(vec![Change::remove(model::Service::key(service.id))]).unwrap_err();
    assert_eq!(refusal.key, model::Service::key(service.id));

    let table = builder.apply(vec![]).unwrap();
    assert_eq!(table.len(), 1);
    let (headers, method) = (HeaderMap::new(), Method::GET);
    let ask = |path| Request { method: &method, host: "h", port: 80, path, headers: &headers, sni: None };
    assert_eq!(table.lookup(&ask("/1/x")).unwrap().service.unwrap().id, service.id);
    assert!(table.lookup(&ask("/2")).is_none());
}

fn compare((table, model): &(Table, Model), seed: u64, random: &mut StdRng) {
    for _ in 0..REQUESTS {
        let headers = random_headers(random);
        let name = *METHODS.choose(random).unwrap();
        let method = name.parse().unwrap();
        let path = random_path(random);
        let host = *["a.com", "b.a.com", "x.b.a.com", "b.com", "a.org", "b.a.x", "z", "[::1]"]
            .choose(random)
            .unwrap();
        let port = *[80, 81].choose(random).unwrap();
        let sni = *[None, Some("a.com"), Some("b.a.com"), Some("z")].choose(random).unwrap();
        let request = Request { method: &method, host, port, path: &path, headers: &headers, sni };
        let found = table.lookup(&request).map(|found| (found.route.id, found.matched));
        let fields: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let plain = MatchRequest { method: name, host, port, path: &path, headers: &fields, sni };
        assert_eq!(found, model.lookup(&plain), "seed {seed}: {request:?}");
    }
}

fn changes(model: &Model, random: &mut StdRng) -> Vec<Change> {
    (0..random.random_range(1..8))
        .map(|_| match random.random_range(0..20) {
            0..3 => Change::put(random_service(random)),
            3 if random.random_bool(0.3) => Change::remove(Router::key(ROUTER)),
            3 if random.random_bool(0.7) => router(*RouterOrder::ALL.choose(random).unwrap()),
            3 => Change::remove(model::Service::key(random_id(random, 6))),
            4..8 => Change::remove(model::Route::key(random_id(random, 30))),
            _ => Change::put(random_route(model, random)),
        })
        .collect()
}

fn router(order: RouterOrder) -> Change {
    Change::put(Router { id: ROUTER, order, ..Router::default() })
}

fn random_id(random: &mut StdRng, of: u128) -> Uuid {
    Uuid::from_u128(random.random_range(1..=of))
}

fn random_service(random: &mut StdRng) -> Service {
    let enabled = random.random_bool(0.7);
    Service { id: random_id(random, 6), host: "upstream".into(), enabled, ..Service::default() }
}

fn random_route(model: &Model, random: &mut StdRng) -> Route {
    let services: Vec<_> = model.services.keys().copied().collect();
    loop {
        let route = Route {
            id: random_id(random, 30),
            service: if random.random_bool(0.02) {
                Some(random_id(random, 6))
            } else {
                services.choose(random).copied().filter(|_| random.random_bool(0.8))
            },
            methods: some(random, |random| METHODS.choose(random).unwrap().to_string()),
            hosts: some(random, |random| HOSTS.choose(random).unwrap().to_string()),
            paths: some(random, random_pattern),
            snis: some(random, |random| SNIS.choose(random).unwrap().to_string())
                .filter(|_| random.random_bool(0.3)),
            headers: random.random_bool(0.2).then(|| random_header_rules(random)),
            protocols: [&[Protocol::Http, Protocol::Https][..], &[Protocol::Https], &[Protocol::Tls]]
                [random.random_range(0..20_usize).saturating_sub(17)]
            .to_vec(),
            regex_priority: random.random_range(-1..2),
            created_at: random.random_range(0..3),
            ..Route::default()
        };
        if route.validate().is_ok() {
            return route;
        }
    }
}

fn some<T: PartialEq>(random: &mut StdRng, mut one: impl FnMut(&mut StdRng) -> T) -> Option<Vec<T>> {
    let mut list: Vec<T> = Vec::new();
    for _ in 0..random.random_range(0..4) {
        let item = one(random);
        if !list.contains(&item) {
            list.push(item);
        }
    }
    (!list.is_empty()).then_some(list)
}

fn random_pattern(random: &mut StdRng) -> String {
    match random.random_bool(0.1) {
        true => REGEXES.choose(random).unwrap().to_string(),
        false => random_path(random),
    }
}

fn random_path(random: &mut StdRng) -> String {
    let segment = |random: &mut StdRng| *["a", "b", "ab", "abc", "1"].choose(random).unwrap();
    let segments: Vec<_> = (0..random.random_range(0..4)).map(|_| segment(random)).collect();
    let end = if random.random_bool(0.2) && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

fn random_header_rules(random: &mut StdRng) -> BTreeMap<String, Vec<String>> {
    let rules = [("x-a", vec!["1", "2"]), ("x-a", vec!["One"]), ("X-B", vec!["~*^V+$", "w"])];
    let rules = rules
        .choose_multiple(random, 2)
        .map(|(name, values)| ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()));
    rules.collect()
}

fn random_headers(random: &mut StdRng) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-a", "1"), ("x-a", "ONE"), ("x-b", "vv"), ("x-b", "W")] {
        if random.random_bool(0.4) {
            headers.append(name, value.parse().unwrap());
        }
    }
    headers
}
