//! TLS with upstreams: whose certificates are believed, which one is shown, and that connections made under
//! other terms are not used.

use std::path::Path;

use gateway::route::{Builder, Change};
use testkit::certs::{Authority, Pair, Usage};
use uuid::Uuid;
use wire::{CaCertificate, Certificate, Key, Protocol, Service};

use crate::support::{Gateway, TlsUpstream, at, route};

/// Two authorities, and a server's certificate of the first.
struct Authorities {
    good: Authority,
    other: Authority,
    server: Pair,
    _folder: tempfile::TempDir,
}

const GOOD: Uuid = Uuid::from_u128(0xa1);
const OTHER: Uuid = Uuid::from_u128(0xa2);
const OURS: Uuid = Uuid::from_u128(0xc1);

impl Authorities {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [good, other] = ["good", "other"].map(|name| Authority::new(folder.path(), name));
        let server = good.issue_server("server", &["localhost"]);
        Self { good, other, server, _folder: folder }
    }

    fn put(&self) -> Vec<Change> {
        vec![put_authority(GOOD, &self.good), put_authority(OTHER, &self.other)]
    }

    fn client(&self, name: &str, of: &Authority) -> Change {
        let pair = of.issue(name, &[], &[Usage::ClientAuth]);
        let (cert, key) = (read(&pair.cert), read(&pair.key));
        Change::PutCertificate(Certificate { id: OURS, cert, key, ..Certificate::default() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_verified_against_the_authorities_that_its_service_names() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let upstream = TlsUpstream::start(&authorities.server);
    gateway.apply(authorities.put());
    let good = verified(1, &upstream, &[GOOD]);
    gateway.serve(good.clone(), route(1, "/good"));
    gateway.serve(verified(2, &upstream, &[OTHER, GOOD]), route(2, "/both"));
    gateway.serve(Service { host: "127.0.0.1".into(), ..verified(3, &upstream, &[GOOD]) }, route(3, "/name"));
    gateway.serve(verified(4, &upstream, &[OTHER]), route(4, "/other"));
    gateway.serve(verified(5, &upstream, &[]), route(5, "/system"));
    gateway.serve(Service { tls_verify: Some(false), ..verified(6, &upstream, &[OTHER]) }, route(6, "/any"));
    for (path, status) in
        [("/good", 200), ("/both", 200), ("/any", 200), ("/name", 502), ("/other", 502), ("/system", 502)]
    {
        gateway.get(path).await.expect(status);
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_tls\"}", 3.0).await;
}

/// The server would answer on any connection that stands.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_not_shared_by_services_that_believe_others() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let upstream = TlsUpstream::start(&authorities.server);
    gateway.apply(authorities.put());
    gateway.serve(verified(1, &upstream, &[GOOD]), route(1, "/good"));
    gateway.serve(verified(2, &upstream, &[OTHER]), route(2, "/other"));
    gateway.serve(verified(3, &upstream, &[GOOD]), route(3, "/again"));
    for _ in 0..3 {
        gateway.get("/good").await.expect(200);
        gateway.get("/other").await.expect(502);
        gateway.get("/again").await.expect(200);
    }
    gateway.wait_metric("gibbon_upstream_connections_total{reused=\"false\"}", 1.0).await;
    gateway.wait_metric("gibbon_upstream_connections_total{reused=\"true\"}", 5.0).await;
}

/// An authority is replaced under the same id: what was believed before counts no more, and the other way
/// round, without a change of the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_authority_counts_for_the_next_request() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let upstream = TlsUpstream::start(&authorities.server);
    gateway.apply(authorities.put());
    gateway.serve(verified(1, &upstream, &[GOOD]), route(1, "/"));
    gateway.get("/").await.expect(200);
    gateway.apply(vec![put_authority(GOOD, &authorities.other)]);
    gateway.get("/").await.expect(502);
    gateway.apply(vec![put_authority(GOOD, &authorities.good)]);
    gateway.get("/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_shown_to_an_upstream_that_asks_for_one() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let upstream = TlsUpstream::of_clients(&authorities.server, &authorities.good);
    gateway.apply(authorities.put());
    gateway.apply(vec![authorities.client("client", &authorities.good)]);
    let shown = Service { client_certificate: Some(OURS), ..verified(1, &upstream, &[GOOD]) };
    gateway.serve(shown, route(1, "/shown"));
    gateway.serve(verified(2, &upstream, &[GOOD]), route(2, "/bare"));
    for _ in 0..2 {
        gateway.get("/shown").await.expect(200);
        gateway.get("/bare").await.expect(502);
    }
    gateway.apply(vec![authorities.client("stranger", &authorities.other)]);
    gateway.get("/shown").await.expect(502);
}

#[test]
fn what_cannot_be_used_is_refused_with_the_entity_and_the_field() {
    let authorities = Authorities::new();
    let mut builder = Builder::new();
    builder.apply(authorities.put()).unwrap();
    let Change::PutCertificate(certificate) = authorities.client("client", &authorities.good) else {
        panic!("a certificate")
    };
    let stranger = read(&authorities.server.key);
    let bad = Certificate { key: stranger, ..certificate };
    let service = Service {
        client_certificate: Some(OURS),
        protocol: Protocol::Https,
        host: "a".into(),
        ..Service::default()
    };
    let changes = vec![Change::PutCertificate(bad), Change::PutService(service)];
    let refusal = builder.apply(changes).unwrap_err();
    assert_eq!((refusal.key, refusal.field.as_deref()), (Key::certificate(OURS), Some("cert")));
    assert!(!refusal.message.contains("PRIVATE"), "{refusal}");

    let cert = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n".to_owned();
    let refusal =
        builder.apply(vec![Change::PutCaCertificate(CaCertificate { id: GOOD, cert })]).unwrap_err();
    assert_eq!((refusal.key, refusal.field.as_deref()), (Key::ca_certificate(GOOD), Some("cert")));
}

fn verified(id: u128, upstream: &TlsUpstream, authorities: &[Uuid]) -> Service {
    Service {
        protocol: Protocol::Https,
        host: "localhost".into(),
        tls_verify: Some(true),
        retries: 0,
        ca_certificates: (!authorities.is_empty()).then(|| authorities.to_vec()),
        ..at(id, upstream.address)
    }
}

fn put_authority(id: Uuid, authority: &Authority) -> Change {
    Change::PutCaCertificate(CaCertificate { id, cert: read(&authority.cert) })
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
