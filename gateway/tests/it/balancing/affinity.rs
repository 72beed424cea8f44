//! Consistent hashing: every input of the hash, its fallback, and the cookie that is made.

use std::collections::BTreeSet;

use gateway::table::Change;
use model::policy::{Cookie, CookieSameSite, CookieSecure, Policy};
use model::{AdminState, Algorithm, HashInput, Route, Upstream};
use testkit::curl;
use testkit::http::Request;
use uuid::Uuid;

use super::{Fleet, get, number, numbered, route, service, target, upstream};
use crate::support::Gateway;
use crate::tls::{Pairs, name, put};

const ORIGINS: usize = 8;
const KEYS: usize = 40;

/// An upstream that hashes this input, and that one if a request lacks it. Each has a name of its own.
fn hashing(on: HashInput, fallback: HashInput) -> Upstream {
    let name = |input, name: &str| (on == input).then(|| name.to_owned());
    let other = |input, name: &str| (fallback == input).then(|| name.to_owned());
    let has_cookie = on == HashInput::Cookie || fallback == HashInput::Cookie;
    Upstream {
        algorithm: Algorithm::ConsistentHashing,
        hash_on: on,
        hash_fallback: fallback,
        hash_on_header: name(HashInput::Header, "X-Key"),
        hash_fallback_header: other(HashInput::Header, "X-Other"),
        hash_on_query_arg: name(HashInput::QueryArg, "key"),
        hash_fallback_query_arg: other(HashInput::QueryArg, "other"),
        hash_on_uri_capture: name(HashInput::UriCapture, "user"),
        hash_fallback_uri_capture: other(HashInput::UriCapture, "1"),
        hash_on_cookie: has_cookie.then(|| "id".to_owned()),
        ..upstream()
    }
}

/// Starts a gateway that believes its clients' addresses, and whose route captures a part of the path.
fn fleet(upstream: Upstream) -> Fleet {
    let gateway = Gateway::with(&[("proxy.trusted_ips", "127.0.0.1")]);
    gateway.apply(vec![]);
    let fleet = Fleet::serve(gateway, ORIGINS, upstream, service());
    let capturing = Route { paths: Some(vec![r"~/users/(?<user>\w+)".into()]), ..route(2, "/") };
    fleet.gateway.serve(service(), capturing);
    fleet
}

/// A request with this key in the first input.
fn with_key(input: HashInput, key: &str) -> Request {
    match input {
        HashInput::Ip => get("/").header("X-Real-IP", &format!("10.0.0.{key}")),
        HashInput::Header => get("/").header("X-Key", key),
        HashInput::Cookie => get("/").header("Cookie", &format!("a=b; id={key}; c=d")),
        HashInput::Path => get(&format!("/path/{key}?{}", Uuid::new_v4())),
        HashInput::QueryArg => get(&format!("/?a=b&key={key}")),
        HashInput::UriCapture => get(&format!("/users/{key}/x?{}", Uuid::new_v4())),
        HashInput::None | HashInput::Consumer => get("/"),
    }
}

/// A request with this key in the fallback, and without the first input.
fn with_fallback(input: HashInput, key: &str) -> Request {
    match input {
        HashInput::Header => get("/").header("X-Other", key),
        HashInput::QueryArg => get(&format!("/?a=b&other={key}")),
        input => with_key(input, key),
    }
}

/// Each key has one target, and the keys have most of the targets.
async fn assert_sticks(fleet: &Fleet, what: &str, request: impl Fn(&str) -> Request) -> Vec<usize> {
    let mut owners = Vec::new();
    for key in 0..KEYS {
        let request = request(&key.to_string());
        let owner = fleet.served(&request).await;
        for _ in 0..2 {
            assert_eq!(fleet.served(&request).await, owner, "{what}, key {key}");
        }
        owners.push(owner);
    }
    let used: BTreeSet<_> = owners.iter().collect();
    assert!(used.len() > ORIGINS / 2, "{what}: {owners:?}");
    owners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_input_decides_on_the_target() {
    let inputs = [
        HashInput::Ip,
        HashInput::Header,
        HashInput::Cookie,
        HashInput::Path,
        HashInput::QueryArg,
        HashInput::UriCapture,
    ];
    for on in inputs {
        let fleet = fleet(hashing(on, HashInput::None));
        assert_sticks(&fleet, &format!("{on:?}"), |key| with_key(on, key)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fallback_decides_on_requests_without_the_first_input() {
    let fallbacks = [
        HashInput::Ip,
        HashInput::Header,
        HashInput::Cookie,
        HashInput::Path,
        HashInput::QueryArg,
        HashInput::UriCapture,
    ];
    for fallback in fallbacks {
        let fleet = fleet(hashing(HashInput::Header, fallback));
        let what = format!("fallback {fallback:?}");
        assert_sticks(&fleet, &what, |key| with_fallback(fallback, key)).await;
        // The first input goes before it.
        let both = |key: usize| with_fallback(fallback, &key.to_string()).header("X-Key", "one");
        let owner = fleet.served(&both(0)).await;
        for key in 1..KEYS {
            assert_eq!(fleet.served(&both(key)).await, owner, "{what}");
        }
    }
}

/// Such requests once had an empty key in Kong, and all went to one target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_any_input_are_spread() {
    let fleet = fleet(hashing(HashInput::Header, HashInput::QueryArg));
    assert_eq!(fleet.serving(4 * ORIGINS).await.len(), ORIGINS);
    let empty = get("/?other=").header("X-Key", "");
    let mut served = BTreeSet::new();
    for _ in 0..4 * ORIGINS {
        served.insert(fleet.served(&empty).await);
    }
    assert_eq!(served.len(), ORIGINS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_keys_in_other_spellings_have_one_target() {
    type Pairs = Vec<(Request, Request)>;
    let header = |values: &[&str]| values.iter().fold(get("/"), |all, value| all.header("X-Key", value));
    let headers = (0..KEYS).map(|key| {
        let (a, b) = (format!("a{key}"), format!("b{key}"));
        (header(&[&a, &b]), header(&[&format!("{a}, {b}")]))
    });
    let paths = (0..KEYS).map(|key| (get(&format!("/p/a{key}")), get(&format!("/x/../p/./%61{key}?other"))));
    let arguments =
        (0..KEYS).map(|key| (get(&format!("/?key=2&key={key}%41")), get(&format!("/?key={key}A&x&key=2"))));
    let rows: [(HashInput, Pairs); 3] = [
        (HashInput::Header, headers.collect()),
        (HashInput::Path, paths.collect()),
        (HashInput::QueryArg, arguments.collect()),
    ];
    for (input, pairs) in rows {
        let fleet = fleet(hashing(input, HashInput::None));
        for (one, other) in pairs {
            assert_eq!(fleet.served(&one).await, fleet.served(&other).await, "{one:?} {other:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_by_number_is_the_one_by_name() {
    let by_name = fleet(hashing(HashInput::UriCapture, HashInput::None));
    let named = assert_sticks(&by_name, "by name", |key| with_key(HashInput::UriCapture, key)).await;
    let number =
        Upstream { hash_on_uri_capture: Some("1".into()), ..hashing(HashInput::UriCapture, HashInput::None) };
    by_name.gateway.apply(vec![Change::put(number)]);
    let numbered = assert_sticks(&by_name, "by number", |key| with_key(HashInput::UriCapture, key)).await;
    assert_eq!(named, numbered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_data_planes_agree_on_every_key() {
    let fleet = fleet(hashing(HashInput::Header, HashInput::None));
    let other = Gateway::start();
    // In another order.
    let targets = (0..).zip(&fleet.origins).map(|(id, origin)| Change::put(target(id, origin.address())));
    let mut changes: Vec<_> = targets.collect();
    changes.reverse();
    changes.push(Change::put(hashing(HashInput::Header, HashInput::None)));
    other.apply(changes);
    other.serve(service(), route(1, "/"));
    for key in 0..KEYS {
        let request = with_key(HashInput::Header, &key.to_string());
        let response = other.client.send(&request).await.unwrap().expect(200);
        assert_eq!(number(&response), fleet.served(&request).await, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drained_target_moves_its_own_keys_alone_and_gets_them_back() {
    let fleet = fleet(hashing(HashInput::Header, HashInput::None));
    let request = |key: &str| with_key(HashInput::Header, key);
    let before = assert_sticks(&fleet, "before", request).await;
    let gone = before[0];
    fleet.set_state(gone as u128, AdminState::Drain);
    let without = assert_sticks(&fleet, "without one", request).await;
    for (before, without) in before.iter().zip(&without) {
        assert!(if *before == gone { *without != gone } else { without == before }, "{before} {without}");
    }
    fleet.set_state(gone as u128, AdminState::Ready);
    assert_eq!(assert_sticks(&fleet, "after", request).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookie_is_made_once_and_keeps_the_target() {
    let cookie_path =
        Upstream { hash_on_cookie_path: "/shop".into(), ..hashing(HashInput::Cookie, HashInput::None) };
    let fleet = fleet(cookie_path);
    for (number, origin) in fleet.origins.iter().enumerate() {
        origin.answer(numbered(number, 200).header("Set-Cookie", "own=1; Path=/"));
    }
    let mut owners = BTreeSet::new();
    for _ in 0..20 {
        let response = fleet.get().await.expect(200);
        let cookies: Vec<_> = response.header_values("set-cookie").collect();
        let [own, made] = cookies[..] else { panic!("{cookies:?}") };
        assert_eq!(own, "own=1; Path=/");
        let (value, attributes) = made.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/shop; SameSite=Lax; HttpOnly");
        let value = value.strip_prefix("id=").unwrap();
        assert_eq!(Uuid::parse_str(value).unwrap().get_version_num(), 4);
        let again = with_key(HashInput::Cookie, value);
        for _ in 0..3 {
            let repeated = fleet.send(&again).await.expect(200);
            assert_eq!(number(&repeated), number(&response));
            assert_eq!(repeated.header_values("set-cookie").collect::<Vec<_>>(), ["own=1; Path=/"]);
        }
        owners.insert(number(&response));
    }
    assert!(owners.len() > 1, "every client had the same key");
}

/// A fallback that is a cookie makes one only for requests without the first input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookie_of_a_fallback_is_made_when_it_is_needed() {
    let fleet = fleet(hashing(HashInput::Header, HashInput::Cookie));
    let keyed = fleet.send(&with_key(HashInput::Header, "1")).await.expect(200);
    assert_eq!(keyed.header("set-cookie"), None);
    let made = fleet.get().await.expect(200);
    assert!(made.header("set-cookie").unwrap().starts_with("id="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_of_the_cookie_follow_the_policy_and_the_client() {
    let policy = |cookie: Cookie| {
        let policy = Box::new(Policy { cookie, ..Policy::default() });
        Upstream { policy, ..hashing(HashInput::Cookie, HashInput::None) }
    };
    let all = Cookie {
        secure: CookieSecure::Always,
        same_site: CookieSameSite::Strict,
        max_age: Some(60),
        domain: Some("shop.test".into()),
    };
    let none = Cookie { same_site: CookieSameSite::None, ..Cookie::default() };
    let never = Cookie { secure: CookieSecure::Never, ..Cookie::default() };
    let usual = "Path=/; SameSite=Lax; HttpOnly";
    let rows = [
        (Cookie::default(), usual.to_owned(), format!("{usual}; Secure")),
        (never, usual.to_owned(), usual.to_owned()),
        (none, "Path=/; SameSite=None; HttpOnly; Secure".to_owned(), String::new()),
        (
            all,
            "Path=/; SameSite=Strict; HttpOnly; Secure; Max-Age=60; Domain=shop.test".to_owned(),
            String::new(),
        ),
    ];
    let (fleet, pairs) = (fleet(hashing(HashInput::Cookie, HashInput::None)), Pairs::new());
    let pair = pairs.make("shop", &["shop.test"]);
    fleet.gateway.apply(vec![put(1, &pair), name(1, "shop.test", 1)]);
    for (cookie, plain, tls) in rows {
        fleet.gateway.apply(vec![Change::put(policy(cookie))]);
        let response = fleet.get().await.expect(200);
        let attributes = |cookie: &str| cookie.trim().split_once("; ").unwrap().1.to_owned();
        assert_eq!(attributes(response.header("set-cookie").unwrap()), plain);
        let tls = if tls.is_empty() { plain } else { tls };
        let head = curl::https(fleet.gateway.tls_address, "shop.test", &pair, &["-i"]).await.unwrap();
        let set = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("set-cookie").then_some(value)
        });
        assert_eq!(attributes(set.unwrap_or_else(|| panic!("no cookie: {head}"))), tls);
    }
}
