//! What is kept, for which requests, and within which bounds.

use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use model::Number;

use super::*;
use crate::answer_cache::admission::Admitted;
use crate::answer_cache::fields::Fields;
use crate::answer_cache::stored::Head;

const LIMITS: StoreLimits = StoreLimits { bytes: 1 << 20, object: 64 << 10 };

fn store() -> Arc<Store> {
    Arc::new(Store::new(LIMITS, CacheMetrics::new(&prometheus::Registry::new()).unwrap()))
}

fn keys(number: u16) -> Keys {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    Keys { shown: key, lookup: key }
}

fn accepting(encoding: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(encoding))])
}

fn head(keys: &Keys, vary: &[&str]) -> Head {
    let admitted = Admitted {
        age: Duration::ZERO,
        ttl: Duration::from_secs(60),
        kept: Duration::from_secs(60),
        must_revalidate: false,
        vary: vary.iter().map(|name| (*name).to_owned()).collect(),
    };
    Head { plugin: Uuid::from_u128(1), shown: keys.shown, status: 200, fields: Fields::default(), admitted }
}

/// Keeps an answer, and returns whether the store has taken it.
fn keep(store: &Arc<Store>, keys: &Keys, vary: &[&str], headers: &HeaderMap, body: &[u8]) -> bool {
    let mut recording = store.record(head(keys, vary), keys, headers, store.purges());
    recording.add(body) && recording.end()
}

fn body(store: &Store, keys: &Keys, headers: &HeaderMap) -> Option<String> {
    let stored = store.find(keys, headers, Instant::now()).stored?;
    Some(String::from_utf8_lossy(&stored.body).into_owned())
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_found_until_its_time_is_over() {
    let (store, none) = (store(), HeaderMap::new());
    assert!(keep(&store, &keys(1), &[], &none, b"one"));
    assert_eq!(body(&store, &keys(1), &none).as_deref(), Some("one"));
    assert_eq!(body(&store, &keys(2), &none), None);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(body(&store, &keys(1), &none).is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(body(&store, &keys(1), &none), None);
    assert!(store.is_empty());
    assert!(keep(&store, &keys(1), &[], &none, b"two"));
    assert_eq!(body(&store, &keys(1), &none).as_deref(), Some("two"));
}

#[tokio::test]
async fn each_variant_has_an_answer_of_its_own() {
    let (store, keys) = (store(), keys(1));
    let [gzip, br] = [accepting("gzip"), accepting("br")];
    let vary = ["accept-encoding"];
    assert!(keep(&store, &keys, &vary, &gzip, b"gzip"));
    assert_eq!(body(&store, &keys, &gzip).as_deref(), Some("gzip"));
    assert_eq!(body(&store, &keys, &br), None);
    assert!(keep(&store, &keys, &vary, &br, b"br"));
    assert_eq!(body(&store, &keys, &gzip).as_deref(), Some("gzip"));
    assert_eq!(body(&store, &keys, &br).as_deref(), Some("br"));
    assert_eq!(body(&store, &keys, &HeaderMap::new()), None);
    // A further name leaves none of the earlier answers to a request that it tells apart.
    assert!(keep(&store, &keys, &["origin"], &gzip, b"both"));
    assert_eq!(body(&store, &keys, &gzip).as_deref(), Some("both"));
    assert_eq!(body(&store, &keys, &br), None);
}

#[tokio::test]
async fn bodies_that_are_too_long_are_not_kept() {
    let (store, none) = (store(), HeaderMap::new());
    let most = LIMITS.object;
    assert!(keep(&store, &keys(1), &[], &none, &vec![0; most]));
    assert!(!keep(&store, &keys(2), &[], &none, &vec![0; most + 1]));
    let mut parts = store.record(head(&keys(3), &[]), &keys(3), &none, store.purges());
    assert!(parts.add(&vec![0; most]));
    assert!(!parts.add(&[0]));
    assert!(!parts.add(&[]));
    assert!(!parts.end());
    assert_eq!(store.recorded.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn recordings_have_a_bound_together() {
    let (store, none) = (store(), HeaderMap::new());
    let part = vec![0; LIMITS.object];
    let mut all = Vec::new();
    for number in 0..100 {
        let mut recording = store.record(head(&keys(number), &[]), &keys(number), &none, store.purges());
        let fits = recording.add(&part);
        assert_eq!(fits, usize::from(number) < LIMITS.bytes / 2 / LIMITS.object, "{number}");
        all.push(recording);
    }
    drop(all);
    assert_eq!(store.recorded.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn memory_stays_within_its_bound() {
    let (store, none) = (store(), HeaderMap::new());
    for number in 0..2000 {
        assert!(keep(&store, &keys(number), &[], &none, &[0; 8 << 10]));
        assert!(store.bytes() <= LIMITS.bytes as u64, "{number}: {}", store.bytes());
    }
    assert!(store.len() > 60, "{}", store.len());
    assert!(body(&store, &keys(1999), &none).is_some());
}

#[tokio::test]
async fn purges_remove_what_they_name() {
    let (store, none) = (store(), HeaderMap::new());
    let fill = || (1..=3).for_each(|number| assert!(keep(&store, &keys(number), &["x"], &none, b"x")));
    let left = || (1..=3).filter(|number| body(&store, &keys(*number), &none).is_some()).collect::<Vec<_>>();
    let [mine, other] = [1, 2].map(Uuid::from_u128);
    let key = Some(keys(2).shown);
    for (scope, expected) in [
        (Scope { plugin: None, key }, vec![1, 3]),
        (Scope { plugin: Some(mine), key }, vec![1, 3]),
        (Scope { plugin: Some(other), key }, vec![1, 2, 3]),
        (Scope { plugin: Some(other), key: None }, vec![1, 2, 3]),
        (Scope { plugin: Some(mine), key: None }, vec![]),
        (Scope::default(), vec![]),
    ] {
        fill();
        store.purge(scope);
        assert_eq!(left(), expected, "{scope:?}");
    }
    assert!(store.is_empty());
}

#[tokio::test]
async fn an_answer_from_before_a_purge_is_not_kept() {
    let (store, none) = (store(), HeaderMap::new());
    let mut before = store.record(head(&keys(1), &[]), &keys(1), &none, store.purges());
    before.add(b"old");
    store.purge(Scope { plugin: None, key: Some(keys(2).shown) });
    assert!(!before.end());
    assert!(store.is_empty());
}

#[tokio::test]
async fn an_order_is_carried_out_once() {
    let (store, none) = (store(), HeaderMap::new());
    let order = |seconds| CachePurge { set_at: Number::whole(seconds), ..CachePurge::default() };
    for (seconds, is_carried_out) in [(5, true), (5, false), (6, true), (6, false), (4, true)] {
        assert!(keep(&store, &keys(1), &[], &none, b"x"));
        store.order(&order(seconds));
        assert_eq!(store.is_empty(), is_carried_out, "{seconds}");
    }
    let key = super::key::hex(&keys(1).shown);
    assert!(keep(&store, &keys(1), &[], &none, b"x"));
    store.order(&CachePurge { id: Uuid::from_u128(9), key: Some(key), ..CachePurge::default() });
    assert!(body(&store, &keys(1), &none).is_none());
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_wait_for_answers_that_are_not_kept() {
    let (store, none) = (store(), HeaderMap::new());
    let may_wait = || store.find(&keys(1), &none, Instant::now()).may_wait;
    assert!(may_wait());
    store.note_not_kept(&keys(1).lookup, Instant::now());
    assert!(!may_wait());
    tokio::time::advance(NOT_KEPT + Duration::from_millis(1)).await;
    assert!(may_wait());
}
