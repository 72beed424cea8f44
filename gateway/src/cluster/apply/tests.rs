mod oracle;

use http::{HeaderMap, Method};
use uuid::Uuid;
use wire::{BucketSet, Kind, Record, bucket_of};

use super::*;
use crate::route::Request;

const EPOCH: Uuid = Uuid::from_u128(1);

fn service(id: u128) -> (Key, Option<Vec<u8>>) {
    let service = model::Service { host: "127.0.0.1".into(), ..model::Service::default() };
    (model::Service::key(Uuid::from_u128(id)), Some(serde_json::to_vec(&service).unwrap()))
}

fn route(id: u128, path: &str) -> (Key, Option<Vec<u8>>) {
    let route = model::Route {
        service: Some(Uuid::from_u128(1)),
        paths: Some(vec![path.into()]),
        ..model::Route::default()
    };
    (model::Route::key(Uuid::from_u128(id)), Some(serde_json::to_vec(&route).unwrap()))
}

fn payload(records: &[(Key, Option<Vec<u8>>)]) -> bytes::BytesMut {
    let mut payload = bytes::BytesMut::new();
    for (key, value) in records {
        Record { key: *key, value: value.as_deref() }.encode(&mut payload);
    }
    payload
}

/// The root after these records are put.
fn root(records: &[(Key, Option<Vec<u8>>)]) -> Root {
    let mut digest = Digest::new();
    for (key, value) in records {
        digest.set(*key, value.as_ref().map(|bytes| EntityHash::of(*key, bytes)));
    }
    digest.root()
}

fn update(mode: Mode, from: u64, to: u64, root: Root, payload: bytes::BytesMut) -> Update {
    Update::new(mode, from, Position { epoch: EPOCH, revision: to, root }, payload.freeze())
}

fn matches(live: &Live, path: &str) -> bool {
    let table = live.load();
    let request =
        Request { method: &Method::GET, host: "a", port: 80, path, headers: &HeaderMap::new(), sni: None };
    table.as_ref().is_some_and(|table| table.lookup(&request).is_some())
}

/// An applier that holds a service and a route to `/old` at revision 1.
fn applier() -> (Applier, Arc<Live>) {
    let live = Arc::new(Live::new());
    let mut applier = Applier::new(Arc::clone(&live), Arc::default());
    let records = [service(1), route(2, "/old")];
    applier.apply(&update(Mode::Snapshot, 0, 1, root(&records), payload(&records))).unwrap();
    assert!(matches(&live, "/old"));
    (applier, live)
}

/// Asserts that `update` is rejected, and that nothing has changed by it.
fn refused(applier: &mut Applier, live: &Live, update: &Update) -> Nack {
    let (held, buckets) = (applier.held(), applier.buckets());
    let nack = applier.apply(update).unwrap_err();
    assert_eq!((applier.held(), applier.buckets()), (held, buckets));
    assert!(matches(live, "/old") && !matches(live, "/new"));
    nack
}

#[test]
fn a_delta_goes_live_and_a_second_one_follows() {
    let (mut applier, live) = applier();
    let after = [service(1), route(2, "/old"), route(3, "/new")];
    let ack = applier.apply(&update(Mode::Delta, 1, 2, root(&after), payload(&after[2..]))).unwrap();
    assert_eq!(ack.held.revision, 2);
    assert!(matches(&live, "/old") && matches(&live, "/new"));
    let removed = payload(&[(after[1].0, None)]);
    let after = [service(1), route(3, "/new")];
    applier.apply(&update(Mode::Delta, 2, 3, root(&after), removed)).unwrap();
    assert!(!matches(&live, "/old") && matches(&live, "/new"));
}

#[test]
fn what_is_out_of_order_is_refused() {
    let (mut applier, live) = applier();
    let nack = refused(&mut applier, &live, &update(Mode::Delta, 7, 8, Root::default(), payload(&[])));
    assert_eq!(nack.reason, NackReason::OutOfOrder);
    let mut other = update(Mode::Delta, 1, 2, Root::default(), payload(&[]));
    other.header.epoch = Uuid::from_u128(9);
    assert_eq!(refused(&mut applier, &live, &other).reason, NackReason::OutOfOrder);
}

#[test]
fn older_snapshot_of_the_same_epoch_is_refused() {
    let (mut applier, live) = applier();
    let second = [service(1), route(2, "/old"), route(4, "/second")];
    applier.apply(&update(Mode::Delta, 1, 2, root(&second), payload(&second[2..]))).unwrap();
    let first = [service(1), route(3, "/new")];
    let older = update(Mode::Snapshot, 0, 1, root(&first), payload(&first));
    let nack = refused(&mut applier, &live, &older);
    assert_eq!(nack.reason, NackReason::OutOfOrder);
    assert!(
        nack.message.contains("back to revision 1") && nack.message.contains("revision 2"),
        "{}",
        nack.message
    );
    // The revision that is live may come again: a disk may need it, or a root that has drifted.
    let again = [service(1), route(2, "/old")];
    applier.apply(&update(Mode::Snapshot, 0, 2, root(&again), payload(&again))).unwrap();
    assert!(matches(&live, "/old"));
}

#[test]
fn snapshot_of_a_new_epoch_may_have_a_lower_revision() {
    let (mut applier, live) = applier();
    let records = [service(1), route(3, "/new")];
    let restored = Position { epoch: Uuid::from_u128(9), revision: 0, root: root(&records) };
    applier.apply(&Update::new(Mode::Snapshot, 0, restored, payload(&records).freeze())).unwrap();
    assert!(matches(&live, "/new") && !matches(&live, "/old"));
    assert_eq!(applier.held(), Some(restored));
}

/// A private key counts as superseded when it is replaced or deleted, and not when it comes or stays.
#[test]
fn superseded_secrets_are_noticed_in_every_mode() {
    let live = Arc::new(Live::new());
    let mut applier = Applier::new(live, Arc::default());
    // Of a kind unknown to this version, which may hold a secret.
    let secret =
        |id: u128, value: &[u8]| (Key { kind: Kind(199), id: Uuid::from_u128(id) }, Some(value.to_vec()));
    let steps: [(Mode, Vec<_>, Vec<_>, bool); 6] = [
        (Mode::Snapshot, vec![secret(1, b"a")], vec![secret(1, b"a")], false),
        (Mode::Delta, vec![secret(2, b"b")], vec![secret(1, b"a"), secret(2, b"b")], false),
        (Mode::Delta, vec![secret(2, b"c")], vec![secret(1, b"a"), secret(2, b"c")], true),
        (Mode::Delta, vec![(secret(1, b"").0, None)], vec![secret(2, b"c")], true),
        (Mode::Snapshot, vec![secret(2, b"c")], vec![secret(2, b"c")], false),
        (Mode::Snapshot, vec![secret(2, b"d")], vec![secret(2, b"d")], true),
    ];
    for (to, (mode, changes, after, superseded)) in (1..).zip(steps) {
        applier.apply(&update(mode, to - 1, to, root(&after), payload(&changes))).unwrap();
        assert_eq!(applier.take_superseded_secrets(), superseded, "revision {to}");
    }
}

#[test]
fn an_entity_that_breaks_a_rule_is_named() {
    let (mut applier, live) = applier();
    let after = [service(1), route(2, "/old"), route(3, "/new"), route(4, "no slash")];
    let bad = update(Mode::Delta, 1, 2, root(&after), payload(&after[2..]));
    let nack = refused(&mut applier, &live, &bad);
    assert_eq!(nack.reason, NackReason::Invalid);
    assert_eq!((nack.id, nack.collection.as_deref()), (Some(Uuid::from_u128(4)), Some("routes")));
    let garbage = [(model::Route::key(Uuid::from_u128(5)), Some(b"{]".to_vec()))];
    let after = [service(1), route(2, "/old"), garbage[0].clone()];
    let nack = refused(&mut applier, &live, &update(Mode::Delta, 1, 2, root(&after), payload(&garbage)));
    assert_eq!((nack.reason, nack.id), (NackReason::Invalid, Some(Uuid::from_u128(5))));
}

#[test]
fn a_service_that_routes_still_name_cannot_go() {
    let (mut applier, live) = applier();
    let nack = refused(
        &mut applier,
        &live,
        &update(Mode::Delta, 1, 2, root(&[route(2, "/old")]), payload(&[(service(1).0, None)])),
    );
    assert_eq!((nack.reason, nack.id), (NackReason::Invalid, Some(Uuid::from_u128(1))));
}

#[test]
fn another_root_than_announced_is_refused() {
    let (mut applier, live) = applier();
    let bad = update(Mode::Delta, 1, 2, Root([1; 32]), payload(&[route(3, "/new")]));
    assert_eq!(refused(&mut applier, &live, &bad).reason, NackReason::RootMismatch);
    let snapshot = update(Mode::Snapshot, 0, 2, Root([1; 32]), payload(&[service(1), route(3, "/new")]));
    assert_eq!(refused(&mut applier, &live, &snapshot).reason, NackReason::RootMismatch);
}

#[test]
fn kinds_of_a_later_version_are_hashed_and_otherwise_left_alone() {
    let (mut applier, live) = applier();
    let unknown = (Key { kind: Kind(199), id: Uuid::from_u128(3) }, Some(b"?".to_vec()));
    let after = [service(1), route(2, "/old"), unknown.clone()];
    applier.apply(&update(Mode::Delta, 1, 2, root(&after), payload(&[unknown]))).unwrap();
    assert!(matches(&live, "/old"));
}

#[test]
fn a_repair_replaces_what_its_buckets_hold() {
    let (mut applier, live) = applier();
    let wanted = [service(1), route(3, "/new")];
    let mut buckets = BucketSet::default();
    for key in [route(2, "").0, route(3, "").0] {
        buckets.0[bucket_of(key) / 8] |= 1 << (bucket_of(key) % 8);
    }
    let held: Vec<_> = wanted.iter().filter(|(key, _)| buckets.contains(bucket_of(*key))).cloned().collect();
    let mut repair = bytes::BytesMut::from(&buckets.0[..]);
    repair.extend_from_slice(&payload(&held));
    applier.apply(&update(Mode::Repair, 1, 1, root(&wanted), repair)).unwrap();
    assert!(!matches(&live, "/old") && matches(&live, "/new"));
}

#[test]
fn kind_that_must_be_understood_and_is_unknown_is_refused() {
    let (mut applier, live) = applier();
    let unknown = (Key { kind: Kind(99), id: Uuid::from_u128(3) }, Some(b"?".to_vec()));
    let after = [service(1), route(2, "/old"), route(3, "/new"), unknown.clone()];
    let delta = update(Mode::Delta, 1, 2, root(&after), payload(&after[2..]));
    let nack = refused(&mut applier, &live, &delta);
    assert_eq!((nack.reason, nack.id), (NackReason::Unsupported, Some(Uuid::from_u128(3))));
    assert_eq!((nack.collection.as_deref(), nack.field), (Some("kind 99"), None));
    let snapshot = update(Mode::Snapshot, 0, 2, root(&after), payload(&after));
    assert_eq!(refused(&mut applier, &live, &snapshot).reason, NackReason::Unsupported);
    // Deleted again within the update: only what it leaves counts.
    let after = [service(1), route(2, "/old"), route(3, "/new")];
    let delta = update(Mode::Delta, 1, 2, root(&after), payload(&[route(3, "/new"), (unknown.0, None)]));
    applier.apply(&delta).unwrap();
    assert!(matches(&live, "/new"));
}

#[test]
fn field_that_must_be_understood_and_is_unknown_is_refused() {
    let (mut applier, live) = applier();
    let id = Uuid::from_u128(3);
    for (value, field) in [
        (r#"{"paths":["/new"],"!guard":true}"#, "guard"),
        (r#"{"paths":["/new"],"sources":[{"ip":"10.0.0.1","!zone":1}]}"#, "zone"),
    ] {
        let guarded = (model::Route::key(id), Some(value.as_bytes().to_vec()));
        let after = [service(1), route(2, "/old"), guarded];
        let nack =
            refused(&mut applier, &live, &update(Mode::Delta, 1, 2, root(&after), payload(&after[2..])));
        assert_eq!((nack.reason, nack.id), (NackReason::Unsupported, Some(id)));
        assert_eq!((nack.collection.as_deref(), nack.field.as_deref()), (Some("routes"), Some(field)));
        assert!(nack.message.contains(field), "{}", nack.message);
    }
    // A field of a later version that may be ignored.
    let later = (model::Route::key(id), Some(br#"{"paths":["/new"],"hint":true}"#.to_vec()));
    let after = [service(1), route(2, "/old"), later];
    applier.apply(&update(Mode::Delta, 1, 2, root(&after), payload(&after[2..]))).unwrap();
    assert!(matches(&live, "/new"));
}
