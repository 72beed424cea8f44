//! Pins the canonical bytes of every kind: a change of the code must not change what an older peer reads.
//!
//! `GIBBON_TEST_BLESS=1 cargo test -p model --test golden` writes the files of a new kind.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{
    AnyEntity, CaCertificate, Certificate, Entity, KINDS, PathHandling, Protocol, Route, Router, RouterOrder,
    Service, Sni, kind,
};
use uuid::Uuid;
use wire::{EntityHash, Kind};

const ID: Uuid = Uuid::from_u128(0x0f0e_0d0c_0b0a_4908_8706_0504_0302_0100);

fn service() -> Service {
    Service {
        name: Some("orders".into()),
        protocol: Protocol::Https,
        host: "orders.internal".into(),
        port: 8443,
        path: Some("/v1".into()),
        retries: 1,
        connect_timeout: 500,
        write_timeout: 700,
        read_timeout: 900,
        tls_verify: Some(true),
        tls_verify_depth: Some(2),
        ca_certificates: Some(vec![ID]),
        client_certificate: Some(ID),
        enabled: false,
        ..Service::default()
    }
}

fn route() -> Route {
    Route {
        name: Some("orders".into()),
        service: Some(ID),
        protocols: vec![Protocol::Https],
        methods: Some(vec!["GET".into()]),
        hosts: Some(vec!["*.example.com".into()]),
        paths: Some(vec!["/orders".into(), r"~/o/\d+".into()]),
        headers: Some(BTreeMap::from([("x-version".into(), vec!["2".into()])])),
        snis: Some(vec!["example.com".into()]),
        https_redirect_status_code: 308,
        regex_priority: 7,
        strip_path: false,
        path_handling: PathHandling::V1,
        preserve_host: true,
        request_buffering: false,
        response_buffering: false,
        created_at: 1_700_000_000,
        ..Route::default()
    }
}

fn certificate() -> Certificate {
    Certificate {
        cert: "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n".into(),
        key: "-----BEGIN PRIVATE KEY-----\nMQ==\n-----END PRIVATE KEY-----\n".into(),
        cert_alt: Some("-----BEGIN CERTIFICATE-----\nMg==\n-----END CERTIFICATE-----\n".into()),
        key_alt: Some("-----BEGIN PRIVATE KEY-----\nMw==\n-----END PRIVATE KEY-----\n".into()),
        ..Certificate::default()
    }
}

fn sni() -> Sni {
    Sni { name: "*.example.com".into(), certificate: ID, ..Sni::default() }
}

fn ca_certificate() -> CaCertificate {
    CaCertificate { cert: certificate().cert, ..CaCertificate::default() }
}

fn router() -> Router {
    Router { order: RouterOrder::Kong3, ..Router::default() }
}

/// An entity with a value in every field that can have one. A new kind needs a line.
fn sample(kind: Kind) -> AnyEntity {
    match kind {
        kind::SERVICE => service().into(),
        kind::ROUTE => route().into(),
        kind::CERTIFICATE => certificate().into(),
        kind::SNI => sni().into(),
        kind::CA_CERTIFICATE => ca_certificate().into(),
        kind::ROUTER => router().into(),
        kind => panic!("no sample of {kind}"),
    }
}

fn check(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GIBBON_TEST_BLESS").is_some() {
        std::fs::write(&path, bytes).expect("the golden file is written");
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        String::from_utf8_lossy(bytes),
        String::from_utf8_lossy(&golden),
        "the bytes of {name} have changed: older peers cannot read them"
    );
    assert_eq!(bytes, golden, "the bytes of {name} have changed: older peers cannot read them");
}

/// Checks the bytes of `entity` and of one that has only defaults.
fn check_entity<T: Entity + std::fmt::Debug>(name: &str, entity: &T) {
    let bytes = entity.canonical();
    check(&format!("v1_{name}.json"), &bytes);
    check(&format!("v1_{name}_defaults.json"), &T::default().canonical());
    assert_eq!(&serde_json::from_slice::<T>(&bytes).expect("own bytes"), entity);
    assert_eq!(serde_json::from_slice::<T>(b"{}").expect("all defaults"), T::default());
}

#[test]
fn entities_have_their_pinned_bytes() {
    for kind in KINDS {
        match sample(kind.kind()) {
            AnyEntity::Service(entity) => check_entity("service", &entity),
            AnyEntity::Route(entity) => check_entity("route", &entity),
            AnyEntity::Certificate(entity) => check_entity("certificate", &entity),
            AnyEntity::Sni(entity) => check_entity("sni", &entity),
            AnyEntity::CaCertificate(entity) => check_entity("ca_certificate", &entity),
            AnyEntity::Router(entity) => check_entity("router", &entity),
        }
    }
    let hash = format!("{:?}", EntityHash::of(Route::key(ID), &route().canonical()));
    check("v1_route.hash", hash.as_bytes());
}
