use std::sync::LazyLock;

use wire::Key;

use super::*;
use crate::route::{Builder, Change, Table};

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
    Change::PutCertificate(Certificate {
        id: id(of),
        cert: PAIR[0].clone(),
        key: PAIR[1].as_str().into(),
        ..Certificate::default()
    })
}

fn sni(of: u128, name: &str, certificate: u128) -> Change {
    Change::PutSni(Sni { id: id(of), name: name.into(), certificate: id(certificate) })
}

fn authority(of: u128) -> Change {
    Change::PutCaCertificate(CaCertificate { id: id(of), cert: PAIR[0].clone() })
}

fn service(certificate: Option<u128>, authority: Option<u128>) -> Change {
    Change::PutService(model::Service {
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
    table.certificates().by_name(name).map(|certificate| certificate.id.as_u128())
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
    assert!(table.certificates().authority(id(21)).is_some());
    assert!(table.certificates().certificate(id(3)).is_some());
    assert!(table.certificates().certificate(id(21)).is_none());
}

#[test]
fn a_table_keeps_what_it_had() {
    let (mut builder, before) = builder();
    let after = builder.apply(vec![sni(11, "new.org", 1), Change::RemoveSni(id(12))]).unwrap();
    assert_eq!((shown(&before, "a.example.com"), shown(&before, "new.org")), (Some(1), None));
    assert_eq!((shown(&after, "a.example.com"), shown(&after, "new.org")), (None, Some(1)));
    let gone = vec![Change::RemoveCertificate(id(1)), Change::RemoveSni(id(11))];
    assert!(builder.apply(gone).unwrap().certificates().certificate(id(1)).is_none());
}

#[test]
fn names_and_certificates_must_fit_together() {
    assert_eq!(refused(vec![sni(14, "new.org", 9)]), named(model::Sni::key(id(14)), "certificate"));
    assert_eq!(refused(vec![sni(14, "A.example.com.", 1)]).0.kind, model::kind::SNI);
    assert_eq!(refused(vec![Change::RemoveCertificate(id(1))]), (model::Certificate::key(id(1)), None));
    let both = vec![Change::RemoveCertificate(id(1)), sni(11, "new.org", 1)];
    assert_eq!(refused(both), named(model::Sni::key(id(11)), "certificate"));
}

#[test]
fn each_for_itself_must_be_right() {
    assert_eq!(refused(vec![sni(14, "10.0.0.1", 1)]), named(model::Sni::key(id(14)), "name"));
    let empty = Certificate { id: id(4), ..Certificate::default() };
    assert_eq!(refused(vec![Change::PutCertificate(empty)]), named(model::Certificate::key(id(4)), "cert"));
    let empty = CaCertificate { id: id(4), ..CaCertificate::default() };
    assert_eq!(
        refused(vec![Change::PutCaCertificate(empty)]),
        named(model::CaCertificate::key(id(4)), "cert")
    );
}

#[test]
fn what_a_service_names_must_be_there_and_stay() {
    let key = model::Service::key(id(1));
    assert_eq!(refused(vec![service(Some(9), None)]), named(key, "client_certificate"));
    assert_eq!(refused(vec![service(None, Some(9))]), named(key, "ca_certificates"));
    let gone = vec![service(Some(4), None), Change::RemoveCertificate(id(4))];
    assert_eq!(refused(gone), named(key, "client_certificate"));

    let (mut builder, _) = builder();
    builder.apply(vec![certificate(4), service(Some(4), Some(21))]).unwrap();
    let refusal = builder.apply(vec![Change::RemoveCertificate(id(4))]).unwrap_err();
    assert_eq!((refusal.key, refusal.field), (model::Certificate::key(id(4)), None));
    let refusal = builder.apply(vec![Change::RemoveCaCertificate(id(21))]).unwrap_err();
    assert_eq!((refusal.key, refusal.field), (model::CaCertificate::key(id(21)), None));
    let all = [Change::RemoveCertificate(id(4)), Change::RemoveCaCertificate(id(21))];
    builder.apply(all.into_iter().chain([service(None, None)]).collect()).unwrap();
}
