//! Pins the canonical bytes of every kind: a change of the code must not change what an older peer reads.
//!
//! `GIBBON_TEST_BLESS=1 cargo test -p model --test golden` writes the files of a new kind.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::healthchecks::{
    ActiveChecks, ActiveHealthy, ActiveUnhealthy, CheckType, Healthchecks, PassiveChecks, PassiveHealthy,
    PassiveUnhealthy,
};
use model::plugins::{Config, KeyAuth};
use model::policy::{
    Cookie, CookieSameSite, CookieSecure, Dns, HttpVersion, Initial, Limits, OtherStatuses, Outlier, Policy,
    Probe, ProbeMethod, Retry, RetryMethods, RetryOn, SlowStart, Zone,
};
use model::{
    Acl, AdminState, Algorithm, AnyEntity, BasicAuthCredential, CaCertificate, CachePurge, Certificate,
    Consumer, Entity, ForcedHealth, HashInput, HashKey, HmacAuthCredential, JwtAlgorithm, JwtSecret, KINDS,
    KeyAuthCredential, Number, PathHandling, Plugin, PluginProtocol, Protocol, Route, Router, RouterOrder,
    Service, Sni, Target, TargetHealth, TargetState, Upstream, kind,
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

fn upstream() -> Upstream {
    Upstream {
        name: "orders".into(),
        algorithm: Algorithm::ConsistentHashing,
        hash_on: HashInput::Header,
        hash_fallback: HashInput::QueryArg,
        hash_on_header: Some("x-user".into()),
        hash_fallback_header: Some("x-session".into()),
        hash_on_cookie: Some("session".into()),
        hash_on_cookie_path: "/a".into(),
        hash_on_query_arg: Some("user".into()),
        hash_fallback_query_arg: Some("id".into()),
        hash_on_uri_capture: Some("user".into()),
        hash_fallback_uri_capture: Some("id".into()),
        slots: 1000,
        healthchecks: Box::new(healthchecks()),
        host_header: Some("orders.example.com".into()),
        client_certificate: Some(ID),
        use_srv_name: true,
        sticky_sessions_cookie: Some("place".into()),
        sticky_sessions_cookie_path: "/a".into(),
        policy: Box::new(policy()),
        ..Upstream::default()
    }
}

/// Every field differs from its default.
fn healthchecks() -> Healthchecks {
    Healthchecks {
        active: ActiveChecks {
            r#type: CheckType::Https,
            timeout: Number::new(0.5),
            concurrency: 5,
            http_path: "/health".into(),
            https_sni: Some("a.example.com".into()),
            https_verify_certificate: false,
            headers: Some(BTreeMap::from([("x-probe".into(), vec!["1".into()])])),
            healthy: ActiveHealthy { interval: Number::whole(5), http_statuses: vec![204], successes: 2 },
            unhealthy: ActiveUnhealthy {
                interval: Number::new(0.25),
                http_statuses: vec![500],
                tcp_failures: 1,
                timeouts: 2,
                http_failures: 3,
            },
        },
        passive: PassiveChecks {
            r#type: CheckType::Tcp,
            healthy: PassiveHealthy { http_statuses: vec![200], successes: 4 },
            unhealthy: PassiveUnhealthy {
                http_statuses: vec![503],
                tcp_failures: 5,
                timeouts: 6,
                http_failures: 255,
            },
        },
        threshold: Number::new(33.3),
    }
}

/// Every field differs from its default, except those of an outlier, which is none by default.
fn policy() -> Policy {
    Policy {
        cookie: Cookie {
            secure: CookieSecure::Always,
            same_site: CookieSameSite::None,
            max_age: Some(60),
            domain: Some("example.com".into()),
        },
        recover_after: Number::new(1.5),
        other_statuses: OtherStatuses::Success,
        probe: Probe {
            port: Some(81),
            host: Some("a.example.com".into()),
            method: ProbeMethod::Head,
            http_version: HttpVersion::Http2,
            grpc_service: Some("a.b".into()),
            jitter: 20,
            initial: Initial::Unknown,
        },
        outlier: Some(outlier()),
        slow_start: SlowStart { duration: Number::whole(30), min_percent: 20, aggression: Number::new(1.5) },
        panic_threshold: Number::whole(50),
        limits: Limits { max_requests: 100, max_queue: 10, queue_timeout: Number::new(0.5) },
        retry: Retry {
            on: vec![RetryOn::Reset],
            statuses: vec![503],
            methods: RetryMethods::All,
            per_try_timeout: Number::whole(1),
            total_timeout: Number::whole(2),
            budget_percent: 20,
            budget_min: 5,
            other_target: false,
        },
        hash_balance_factor: 150,
        zone: Zone { prefer: true, min_healthy_percent: 60 },
        dns: Dns {
            min_ttl: Number::whole(2),
            max_ttl: Number::whole(60),
            stale: Number::whole(10),
            nx_grace: Number::whole(20),
            families: vec![6, 4],
        },
    }
}

fn outlier() -> Outlier {
    Outlier {
        consecutive: 3,
        statuses: vec![500],
        success_rate: Number::new(99.5),
        window: Number::whole(20),
        min_requests: 10,
        base: Number::whole(5),
        max: Number::whole(50),
        jitter: 0,
        max_percent: 30,
    }
}

fn target() -> Target {
    Target {
        upstream: ID,
        target: "orders.internal:8000".into(),
        weight: 10,
        failover: true,
        zone: Some("eu-1".into()),
        ..Target::default()
    }
}

fn target_state() -> TargetState {
    TargetState { target: ID, state: AdminState::Drain, until: Some(1_700_000_000), ..TargetState::default() }
}

fn target_health() -> TargetHealth {
    TargetHealth {
        target: ID,
        address: Some("10.0.0.1:8000".into()),
        data_plane: Some(ID),
        health: ForcedHealth::Unhealthy,
        set_at: Number::new(1_700_000_000.125),
        until: Some(1_700_000_060),
        ..TargetHealth::default()
    }
}

fn consumer() -> Consumer {
    Consumer { username: Some("alice".into()), custom_id: Some("42".into()), ..Consumer::default() }
}

fn keyauth_credential() -> KeyAuthCredential {
    KeyAuthCredential {
        consumer: ID,
        key: Some("secret".into()),
        hash: Some("W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM".into()),
        expires_at: Some(1_700_000_060),
        ..KeyAuthCredential::default()
    }
}

fn basicauth_credential() -> BasicAuthCredential {
    BasicAuthCredential {
        consumer: ID,
        username: "alice".into(),
        password: "{SHA1}00112233445566778899aabbccddeeff00112233".into(),
        ..BasicAuthCredential::default()
    }
}

fn jwt_secret() -> JwtSecret {
    JwtSecret {
        consumer: ID,
        key: Some("issuer".into()),
        secret: Some("secret".into()),
        rsa_public_key: Some("-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----\n".into()),
        algorithm: JwtAlgorithm::EdDsa,
        ..JwtSecret::default()
    }
}

fn hmacauth_credential() -> HmacAuthCredential {
    HmacAuthCredential {
        consumer: ID,
        username: "alice".into(),
        secret: Some("secret".into()),
        ..HmacAuthCredential::default()
    }
}

fn acl() -> Acl {
    Acl { consumer: ID, group: "staff".into(), ..Acl::default() }
}

fn plugin() -> Plugin {
    Plugin {
        name: "key-auth".into(),
        instance_name: Some("keys".into()),
        consumer: Some(ID),
        route: Some(ID),
        service: Some(ID),
        protocols: vec![PluginProtocol(Protocol::Https)],
        enabled: false,
        config: Config::KeyAuth(Box::new(KeyAuth { key_in_body: true, ..KeyAuth::default() })),
        ..Plugin::default()
    }
}

fn cache_purge() -> CachePurge {
    CachePurge {
        plugin: Some(ID),
        key: Some("0f".repeat(32)),
        set_at: Number::new(1_700_000_000.125),
        ..CachePurge::default()
    }
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
        kind::UPSTREAM => upstream().into(),
        kind::TARGET => target().into(),
        kind::TARGET_STATE => target_state().into(),
        kind::TARGET_HEALTH => target_health().into(),
        kind::CONSUMER => consumer().into(),
        kind::KEYAUTH_CREDENTIAL => keyauth_credential().into(),
        kind::BASICAUTH_CREDENTIAL => basicauth_credential().into(),
        kind::JWT_SECRET => jwt_secret().into(),
        kind::HMACAUTH_CREDENTIAL => hmacauth_credential().into(),
        kind::ACL => acl().into(),
        kind::HASH_KEY => HashKey { id: Uuid::nil(), ..HashKey::of_bytes(&[7; 32]) }.into(),
        kind::PLUGIN => plugin().into(),
        kind::CACHE_PURGE => cache_purge().into(),
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
            AnyEntity::Upstream(entity) => check_entity("upstream", &entity),
            AnyEntity::Target(entity) => check_entity("target", &entity),
            AnyEntity::TargetState(entity) => check_entity("target_state", &entity),
            AnyEntity::TargetHealth(entity) => check_entity("target_health", &entity),
            AnyEntity::Consumer(entity) => check_entity("consumer", &entity),
            AnyEntity::KeyAuthCredential(entity) => check_entity("keyauth_credential", &entity),
            AnyEntity::BasicAuthCredential(entity) => check_entity("basicauth_credential", &entity),
            AnyEntity::JwtSecret(entity) => check_entity("jwt_secret", &entity),
            AnyEntity::HmacAuthCredential(entity) => check_entity("hmacauth_credential", &entity),
            AnyEntity::Acl(entity) => check_entity("acl", &entity),
            AnyEntity::HashKey(entity) => check_entity("hash_key", &entity),
            AnyEntity::Plugin(entity) => check_entity("plugin", &entity),
            AnyEntity::CachePurge(entity) => check_entity("cache_purge", &entity),
        }
    }
    let hash = format!("{:?}", EntityHash::of(Route::key(ID), &route().canonical()));
    check("v1_route.hash", hash.as_bytes());
}

/// A field that came later: the files of entities without it stay.
#[test]
fn address_of_an_api_key_is_pinned() {
    let credential = KeyAuthCredential { address: Some(3_000_000_000), ..keyauth_credential() };
    let bytes = credential.canonical();
    check("v1_keyauth_credential_address.json", &bytes);
    assert_eq!(serde_json::from_slice::<KeyAuthCredential>(&bytes).expect("own bytes"), credential);
}
