mod properties;

use std::sync::LazyLock;

use http::{HeaderMap, Method};
use model::{
    CaCertificate, Certificate, Consumer, HashKey, KeyAuthCredential, KeyHasher, Route, Router, RouterOrder,
    Sni,
};
use uuid::Uuid;
use wire::Key;

use super::*;
use crate::section::Refusal;

/// A pair as PEM, the certificate first.
static PAIR: LazyLock<[String; 2]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let pair = testkit::certs::valid(folder.path(), "pair");
    [pair.cert, pair.key].map(|file| std::fs::read_to_string(file).unwrap())
});

const fn id(id: u128) -> Uuid {
    Uuid::from_u128(id)
}

fn certificate(of: u128) -> Change {
    Change::put(Certificate {
        id: id(of),
        cert: PAIR[0].clone(),
        key: PAIR[1].as_str().into(),
        ..Certificate::default()
    })
}

fn sni(of: u128, name: &str, certificate: u128) -> Change {
    Change::put(Sni { id: id(of), name: name.into(), certificate: id(certificate) })
}

fn authority(of: u128) -> Change {
    Change::put(CaCertificate { id: id(of), cert: PAIR[0].clone() })
}

fn service(certificate: Option<u128>, authority: Option<u128>) -> Change {
    Change::put(model::Service {
        id: id(1),
        host: "a".into(),
        protocol: model::Protocol::Https,
        client_certificate: certificate.map(id),
        ca_certificates: authority.map(|of| vec![id(of)]),
        ..model::Service::default()
    })
}

/// A builder that holds the certificates 1 to 3, two names of them, and an authority.
fn builder() -> (Builder, Table) {
    let mut builder = Builder::new();
    let changes = vec![
        sni(11, "a.example.com", 1),
        sni(12, "*.example.com", 2),
        sni(13, "a.*", 3),
        certificate(1),
        certificate(2),
        certificate(3),
        authority(21),
    ];
    let table = builder.apply(changes).unwrap();
    (builder, table)
}

fn shown(table: &Table, name: &str) -> Option<u128> {
    table.certificate(name).map(|certificate| certificate.id.as_u128())
}

/// Asserts that the changes are rejected and change nothing; returns the entity and field of the problem.
fn refused(changes: Vec<Change>) -> (Key, Option<String>) {
    let (mut builder, _) = builder();
    let refusal = builder.apply(changes).unwrap_err();
    let after = builder.apply(vec![]).unwrap();
    assert_eq!(shown(&after, "a.example.com"), Some(1));
    assert_eq!(shown(&after, "new.org"), None);
    (refusal.key, refusal.field)
}

fn named(key: Key, field: &str) -> (Key, Option<String>) {
    (key, Some(field.to_owned()))
}

#[test]
fn a_name_leads_to_its_certificate_and_wildcards_stand_for_one_label() {
    let (_, table) = builder();
    for (name, certificate) in [
        ("a.example.com", Some(1)),
        ("a.example.com.", Some(1)),
        ("b.example.com", Some(2)),
        ("a.com", Some(3)),
        ("c.b.example.com", None),
        ("a.b.com", None),
        ("example.com", None),
        ("a", None),
        ("", None),
        (".", None),
    ] {
        assert_eq!(shown(&table, name), certificate, "{name:?}");
    }
    assert!(table.sections.holds(CaCertificate::key(id(21))));
    assert!(table.sections.holds(Certificate::key(id(3))));
    assert!(!table.sections.holds(Certificate::key(id(21))));
}

#[test]
fn a_table_keeps_what_it_had() {
    let (mut builder, before) = builder();
    let after = builder.apply(vec![sni(11, "new.org", 1), Change::remove(Sni::key(id(12)))]).unwrap();
    assert_eq!((shown(&before, "a.example.com"), shown(&before, "new.org")), (Some(1), None));
    assert_eq!((shown(&after, "a.example.com"), shown(&after, "new.org")), (None, Some(1)));
    let gone = vec![Change::remove(Certificate::key(id(1))), Change::remove(Sni::key(id(11)))];
    assert!(!builder.apply(gone).unwrap().sections.holds(Certificate::key(id(1))));
}

#[test]
fn names_and_certificates_must_fit_together() {
    assert_eq!(refused(vec![sni(14, "new.org", 9)]), named(Sni::key(id(14)), "certificate"));
    assert_eq!(refused(vec![sni(14, "A.example.com.", 1)]).0.kind, model::kind::SNI);
    assert_eq!(refused(vec![Change::remove(Certificate::key(id(1)))]), (Certificate::key(id(1)), None));
    let both = vec![Change::remove(Certificate::key(id(1))), sni(11, "new.org", 1)];
    assert_eq!(refused(both), named(Sni::key(id(11)), "certificate"));
}

#[test]
fn each_for_itself_must_be_right() {
    let read = |key, bytes: &[u8]| Change::read(key, Some(bytes)).unwrap_err();
    let refusal = read(
        Sni::key(id(14)),
        br#"{"name": "10.0.0.1", "certificate": "00000000-0000-0000-0000-000000000001"}"#,
    );
    assert_eq!((refusal.key, refusal.field.as_deref()), (Sni::key(id(14)), Some("name")));
    for key in [Certificate::key(id(4)), CaCertificate::key(id(4))] {
        let refusal = read(key, b"{}");
        assert_eq!((refusal.key, refusal.field.as_deref()), (key, Some("cert")));
        let refusal = read(key, b"{]");
        assert_eq!((refusal.key, refusal.field), (key, None));
    }
    let garbage = || "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n".to_owned();
    let certificate = Certificate { id: id(4), cert: garbage(), ..Certificate::default() };
    assert_eq!(refused(vec![Change::put(certificate)]), named(Certificate::key(id(4)), "cert"));
    let authority = CaCertificate { id: id(4), cert: garbage() };
    assert_eq!(refused(vec![Change::put(authority)]), named(CaCertificate::key(id(4)), "cert"));
}

#[test]
fn kind_of_a_later_version_is_no_change_unless_it_must_be_understood() {
    let key = |kind: u8| Key { kind: wire::Kind(kind), id: id(1) };
    assert!(Change::read(key(199), Some(b"?")).unwrap().is_none());
    assert!(Change::read(key(199), None).unwrap().is_none());
    assert!(Change::read(key(99), Some(b"?")).unwrap_err().unsupported);
    assert!(Change::read(key(99), None).unwrap().is_none());
}

#[test]
fn refusals_say_which_entity_is_named_by_which_one() {
    let (mut builder, _) = builder();
    let message = |result: Result<Table, Refusal>| result.unwrap_err().message;
    assert_eq!(
        message(builder.apply(vec![sni(14, "new.org", 9)])),
        format!("names the certificate {}, which does not exist", id(9))
    );
    assert_eq!(
        message(builder.apply(vec![service(None, Some(9))])),
        format!("names the CA certificate {}, which does not exist", id(9))
    );
    assert_eq!(
        message(builder.apply(vec![Change::remove(Certificate::key(id(2)))])),
        "is removed while the server name *.example.com still names it"
    );
    assert_eq!(
        message(builder.apply(vec![sni(14, "A.example.com", 1)])),
        "another one has the name a.example.com, too"
    );
    builder.apply(vec![service(None, Some(21))]).unwrap();
    assert_eq!(
        message(builder.apply(vec![Change::remove(CaCertificate::key(id(21)))])),
        format!("is removed while the service {} still names it", id(1))
    );
}

#[test]
fn names_may_be_swapped_in_one_update() {
    let (mut builder, _) = builder();
    let table = builder.apply(vec![sni(11, "*.example.com", 1), sni(12, "a.example.com", 2)]).unwrap();
    assert_eq!((shown(&table, "a.example.com"), shown(&table, "b.example.com")), (Some(2), Some(1)));
}

#[test]
fn what_a_service_names_must_be_there_and_stay() {
    let key = model::Service::key(id(1));
    assert_eq!(refused(vec![service(Some(9), None)]), named(key, "client_certificate"));
    assert_eq!(refused(vec![service(None, Some(9))]), named(key, "ca_certificates"));
    let gone = vec![service(Some(4), None), Change::remove(Certificate::key(id(4)))];
    assert_eq!(refused(gone), named(key, "client_certificate"));

    let (mut builder, _) = builder();
    builder.apply(vec![certificate(4), service(Some(4), Some(21))]).unwrap();
    let refusal = builder.apply(vec![Change::remove(Certificate::key(id(4)))]).unwrap_err();
    assert_eq!((refusal.key, refusal.field), (Certificate::key(id(4)), None));
    let refusal = builder.apply(vec![Change::remove(CaCertificate::key(id(21)))]).unwrap_err();
    assert_eq!((refusal.key, refusal.field), (CaCertificate::key(id(21)), None));
    let all = [Change::remove(Certificate::key(id(4))), Change::remove(CaCertificate::key(id(21)))];
    builder.apply(all.into_iter().chain([service(None, None)]).collect()).unwrap();
}

/// The order of the router decides between a route with one plain host and one with two other attributes.
#[test]
fn other_order_sorts_the_routes_again_and_its_removal_restores_them() {
    let route = |of, route| Change::put(Route { id: id(of), ..route });
    let host = Route { hosts: Some(vec!["a.test".into()]), ..Route::default() };
    let two = Route { methods: Some(vec!["GET".into()]), paths: Some(vec!["/x".into()]), ..Route::default() };
    let taken = |table: &Table| {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let request =
            Request { method: &method, host: "a.test", port: 80, path: "/x", headers: &headers, sni: None };
        table.lookup(&request).map(|found| found.route.id.as_u128())
    };
    let router = |of, order| Change::put(Router { id: id(of), order, ..Router::default() });

    let mut builder = Builder::new();
    let strict = builder.apply(vec![route(1, host), route(2, two.clone())]).unwrap();
    let kong3 = builder.apply(vec![router(9, RouterOrder::Kong3)]).unwrap();
    assert_eq!((taken(&strict), taken(&kong3)), (Some(2), Some(1)));
    assert_eq!(kong3.len(), 2);
    let refusal = builder.apply(vec![router(8, RouterOrder::Strict)]).unwrap_err();
    assert_eq!(refusal.key, Router::key(id(8)));
    assert_eq!(taken(&builder.apply(vec![route(2, two)]).unwrap()), Some(1));
    let restored = builder.apply(vec![Change::remove(Router::key(id(9)))]).unwrap();
    assert_eq!((taken(&restored), taken(&kong3)), (Some(2), Some(1)));
}

#[test]
fn keys_may_change_hands_and_no_two_are_the_same() {
    // As they are written now, as an older version wrote them, and as some of all were written again.
    for has_address in [|_| true, |_| false, |of| of % 2 == 0] {
        keys_change_hands(has_address);
    }
}

fn keys_change_hands(has_address: fn(u128) -> bool) {
    let key = HashKey::of_bytes(&[7; 32]);
    let hasher = KeyHasher::new(&key).unwrap();
    let credential = |of, secret: &str, expires_at| {
        let known = KeyAuthCredential::of_key(&hasher, secret.as_bytes());
        let address = known.address.filter(|_| has_address(u128::from(secret.as_bytes()[0])));
        Change::put(KeyAuthCredential { id: id(of), consumer: id(1), address, expires_at, ..known })
    };
    let removed = |of| Change::remove(KeyAuthCredential::key(id(of)));
    // The credential that each of three keys leads to, at a time.
    let shown = |table: &Table, now| {
        let directory = table.plugins().directory();
        ["a", "b", "c"].map(|key| directory.key_auth(key.as_bytes(), || now).map(|key| key.id.as_u128()))
    };
    let mut builder = Builder::new();
    let consumer = Change::put(Consumer { id: id(1), ..Consumer::default() });
    let all = vec![Change::put(key), consumer, credential(5, "a", None), credential(6, "b", None)];
    let first = builder.apply(all).unwrap();
    assert_eq!(shown(&first, 0), [Some(5), Some(6), None]);
    for (changes, expected) in [
        (vec![credential(5, "b", None), credential(6, "a", None)], [Some(6), Some(5), None]),
        (vec![removed(5), credential(7, "b", None)], [Some(6), Some(7), None]),
        (vec![credential(7, "c", None)], [Some(6), None, Some(7)]),
        (vec![credential(6, "a", Some(100))], [Some(6), None, Some(7)]),
    ] {
        let table = builder.apply(changes).unwrap();
        assert_eq!(shown(&table, 50), expected);
        let refusal = builder.apply(vec![credential(9, "a", None)]).unwrap_err();
        assert_eq!((refusal.key, refusal.field.as_deref()), (KeyAuthCredential::key(id(9)), Some("key")));
        assert_eq!(shown(&table, 50), expected);
    }
    let last = builder.apply(vec![credential(8, "b", None)]).unwrap();
    assert_eq!(shown(&last, 101), [None, Some(8), Some(7)]);
    assert_eq!(shown(&first, 101), [Some(5), Some(6), None]);
}

#[test]
fn keys_with_the_same_address_are_told_apart() {
    let key = HashKey::of_bytes(&[7; 32]);
    let hasher = KeyHasher::new(&key).unwrap();
    let known = KeyAuthCredential::of_key(&hasher, b"a");
    let credential = |of: u128, secret: &[u8]| {
        let hashed = KeyAuthCredential::of_key(&hasher, secret);
        Change::put(KeyAuthCredential { id: id(of), consumer: id(1), address: known.address, ..hashed })
    };
    let shown = |table: &Table, secret: &[u8]| {
        table.plugins().directory().key_auth(secret, || 0).map(|key| key.id.as_u128())
    };
    let mut builder = Builder::new();
    let others = (100..400_u128).map(|of| credential(of, &of.to_le_bytes()));
    let all = [Change::put(key), Change::put(Consumer { id: id(1), ..Consumer::default() })];
    let table = builder.apply(all.into_iter().chain(others).collect()).unwrap();
    assert_eq!(shown(&table, b"a"), None);
    let table = builder.apply(vec![credential(5, b"a")]).unwrap();
    // It is known by its hash, and then by its seal.
    assert_eq!([(); 2].map(|()| shown(&table, b"a")), [Some(5); 2]);
    let removed = (100..400).map(|of| Change::remove(KeyAuthCredential::key(id(of))));
    let table = builder.apply(removed.collect()).unwrap();
    assert_eq!(shown(&table, b"a"), Some(5));
    let another = Change::put(KeyAuthCredential {
        id: id(5),
        consumer: id(1),
        address: known.address,
        ..KeyAuthCredential::of_key(&hasher, b"b")
    });
    let table = builder.apply(vec![another]).unwrap();
    assert_eq!(shown(&table, b"a"), None);
    // An older version stored none: the key is the same.
    let hashed = KeyAuthCredential { consumer: id(1), ..KeyAuthCredential::of_key(&hasher, b"c") };
    let older = KeyAuthCredential { id: id(6), address: None, ..hashed.clone() };
    builder.apply(vec![Change::put(older)]).unwrap();
    let refusal = builder.apply(vec![Change::put(KeyAuthCredential { id: id(7), ..hashed })]).unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("key"));
}

/// Each table has the consumer of a key as it was then, whichever of the two was written last.
#[test]
fn key_leads_to_its_consumer_as_each_table_has_it() {
    let key = HashKey::of_bytes(&[7; 32]);
    let hashed = KeyAuthCredential::of_key(&KeyHasher::new(&key).unwrap(), b"secret");
    let credential =
        |consumer| Change::put(KeyAuthCredential { id: id(5), consumer: id(consumer), ..hashed.clone() });
    let consumer = |of, username: &str| {
        Change::put(Consumer { id: id(of), username: Some(username.into()), ..Consumer::default() })
    };
    let shown = |table: &Table| {
        let directory = table.plugins().directory();
        let owner = directory.owner_of(directory.key_auth(b"secret", || 0)?)?;
        Some(owner.username().unwrap().to_owned())
    };
    let is_found_in_one_step = |table: &Table| {
        let directory = table.plugins().directory();
        directory.key_auth(b"secret", || 0).is_some_and(|key| key.owner().is_some())
    };

    let mut builder = Builder::new();
    let (mut tables, mut in_one_step) = (Vec::new(), Vec::new());
    for changes in [
        vec![Change::put(key), consumer(1, "one"), consumer(2, "two"), credential(1)],
        vec![consumer(1, "renamed")],
        vec![consumer(2, "elsewhere")],
        vec![credential(2)],
        vec![consumer(2, "two"), credential(2)],
        vec![Change::remove(KeyAuthCredential::key(id(5))), Change::remove(Consumer::key(id(2)))],
    ] {
        tables.push(builder.apply(changes).unwrap());
        // Names that belong to others already: it is refused.
        builder.apply(vec![consumer(1, "same"), consumer(3, "same")]).unwrap_err();
        in_one_step.push(tables.last().is_some_and(is_found_in_one_step));
    }
    let all: Vec<_> = tables.iter().map(shown).collect();
    let expected = ["one", "renamed", "renamed", "elsewhere", "two"].map(|name| Some(name.to_owned()));
    assert_eq!(all, [&expected[..], &[None]].concat());
    // Neither after a change of the consumer, nor without a key.
    assert_eq!(in_one_step, [true, false, false, true, true, false]);
}
