//! TLS with upstreams: which certificates are trusted, which one is shown, and that connections made under
//! other terms are not reused.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gateway::table::{Builder, Change};
use model::{CaCertificate, Certificate, Protocol, Service};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig};
use testkit::certs::{self, Authority, Pair, Usage};
use time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

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

    fn client(&self, name: &str, of: &Authority) -> Certificate {
        let pair = of.issue(name, &[], &[Usage::ClientAuth]);
        let (cert, key) = (read(&pair.cert), read(&pair.key));
        Certificate { id: OURS, cert, key: key.into(), ..Certificate::default() }
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

/// `openssl req -x509` makes a certificate that is its own authority; services name it as such.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_is_the_named_authority_is_believed() {
    let (gateway, folder) = (Gateway::start(), tempfile::tempdir().unwrap());
    let make = |file: &str, names: &[&str], to| certs::own_authority(folder.path(), file, names, to);
    let own = make("own", &["localhost"], Duration::DAY);
    let twin = make("twin", &["localhost"], Duration::DAY);
    let expired = make("expired", &["localhost"], -Duration::DAY);
    let named = make("named", &["other.test"], Duration::DAY);
    let upstream = TlsUpstream::start(&own);
    for (id, pair, verified_by, depth, status) in [
        (1, &own, &own, None, 200),
        (2, &own, &own, Some(0), 200),
        (3, &own, &twin, None, 502),
        (4, &expired, &expired, None, 502),
        (5, &named, &named, None, 502),
    ] {
        let other = (pair.cert != own.cert).then(|| TlsUpstream::start(pair));
        let authority = Uuid::from_u128(0xb0 + id);
        let cert = read(&verified_by.cert);
        gateway.apply(vec![Change::put(CaCertificate { id: authority, cert })]);
        let upstream = other.as_ref().unwrap_or(&upstream);
        let service = Service { tls_verify_depth: depth, ..verified(id, upstream, &[authority]) };
        let path = format!("/{id}");
        gateway.serve(service, route(id, &path));
        gateway.get(&path).await.expect(status);
    }
}

/// The server would answer on any open connection.
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

/// An authority is replaced under the same id. Certificates trusted before are no longer trusted, and the
/// other way round, without a change of the service.
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
    gateway.apply(vec![Change::put(authorities.client("client", &authorities.good))]);
    let shown = Service { client_certificate: Some(OURS), ..verified(1, &upstream, &[GOOD]) };
    gateway.serve(shown, route(1, "/shown"));
    gateway.serve(verified(2, &upstream, &[GOOD]), route(2, "/bare"));
    for _ in 0..2 {
        gateway.get("/shown").await.expect(200);
        gateway.get("/bare").await.expect(502);
    }
    gateway.apply(vec![Change::put(authorities.client("stranger", &authorities.other))]);
    gateway.get("/shown").await.expect(502);
}

/// The certificates between the server's and the authority's are counted, like in OpenSSL.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_no_longer_than_the_service_says() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let (one, two) = (authorities.good.below("one"), authorities.good.below("one").below("two"));
    let servers = [
        authorities.server.clone(),
        one.issue_server("a", &["localhost"]),
        two.issue_server("b", &["localhost"]),
    ];
    let upstreams = servers.each_ref().map(TlsUpstream::start);
    gateway.apply(authorities.put());
    for (between, upstream) in upstreams.iter().enumerate() {
        for depth in [None, Some(0), Some(1), Some(2)] {
            let id = 10 * (between + 1) + depth.map_or(9, usize::from);
            let service = Service { tls_verify_depth: depth, ..verified(id as u128, upstream, &[GOOD]) };
            let path = format!("/{id}");
            gateway.serve(service, route(id as u128, &path));
            let is_deep = depth.is_some_and(|depth| between > depth.into());
            gateway.get(&path).await.expect(if is_deep { 502 } else { 200 });
        }
    }
    // The depth has no effect without verification.
    let unverified = Service {
        tls_verify: Some(false),
        tls_verify_depth: Some(0),
        ..verified(1, &upstreams[2], &[OTHER])
    };
    gateway.serve(unverified, route(1, "/any"));
    gateway.get("/any").await.expect(200);
}

/// A session is begun once, and resumed only by services that trust the same authorities.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed_under_the_same_terms_and_under_no_others() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let mut upstream = ClosingUpstream::start(&authorities.server).await;
    gateway.apply(authorities.put());
    let of = |id, authority| verified_at(id, upstream.address, &[authority]);
    gateway.serve(of(1, GOOD), route(1, "/good"));
    gateway.serve(Service { tls_verify: Some(false), ..of(2, OTHER) }, route(2, "/any"));
    gateway.serve(of(3, OTHER), route(3, "/other"));
    for (path, status, handshake) in [
        ("/any", 200, Some(HandshakeKind::Full)),
        ("/any", 200, Some(HandshakeKind::Resumed)),
        ("/other", 502, None),
        ("/good", 200, Some(HandshakeKind::Full)),
        ("/good", 200, Some(HandshakeKind::Resumed)),
        ("/good", 200, Some(HandshakeKind::Resumed)),
        ("/other", 502, None),
    ] {
        gateway.get(path).await.expect(status);
        if let Some(handshake) = handshake {
            assert_eq!(upstream.handshakes.recv().await, Some(handshake), "{path}");
        }
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_the_entity_and_the_field() {
    let authorities = Authorities::new();
    let mut builder = Builder::new();
    builder.apply(authorities.put()).unwrap();
    let stranger = read(&authorities.server.key);
    let bad = Certificate { key: stranger.into(), ..authorities.client("client", &authorities.good) };
    let service = Service {
        client_certificate: Some(OURS),
        protocol: Protocol::Https,
        host: "a".into(),
        ..Service::default()
    };
    let changes = vec![Change::put(bad), Change::put(service)];
    let refusal = builder.apply(changes).unwrap_err();
    assert_eq!((refusal.key, refusal.field.as_deref()), (model::Certificate::key(OURS), Some("cert")));
    assert!(!refusal.message.contains("PRIVATE"), "{refusal}");

    let cert = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n".to_owned();
    let refusal = builder.apply(vec![Change::put(CaCertificate { id: GOOD, cert })]).unwrap_err();
    assert_eq!((refusal.key, refusal.field.as_deref()), (model::CaCertificate::key(GOOD), Some("cert")));
}

/// A server that answers one request on each connection, and reports its kind of handshake.
struct ClosingUpstream {
    address: SocketAddr,
    handshakes: mpsc::UnboundedReceiver<HandshakeKind>,
    _tasks: JoinSet<()>,
}

impl ClosingUpstream {
    async fn start(pair: &Pair) -> Self {
        node::install_tls_provider();
        let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (told, handshakes)) = (listener.local_addr().unwrap(), mpsc::unbounded_channel());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection whose client does not trust it fails.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                told.send(stream.get_ref().1.handshake_kind().unwrap()).ok();
                let (mut request, answer) =
                    ([0; 4096], b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                if stream.read(&mut request).await.is_ok() && stream.write_all(answer).await.is_ok() {
                    stream.shutdown().await.ok();
                }
            }
        });
        Self { address, handshakes, _tasks: tasks }
    }
}

fn verified(id: u128, upstream: &TlsUpstream, authorities: &[Uuid]) -> Service {
    verified_at(id, upstream.address, authorities)
}

fn verified_at(id: u128, address: SocketAddr, authorities: &[Uuid]) -> Service {
    Service {
        protocol: Protocol::Https,
        host: "localhost".into(),
        tls_verify: Some(true),
        retries: 0,
        ca_certificates: (!authorities.is_empty()).then(|| authorities.to_vec()),
        ..at(id, address)
    }
}

fn put_authority(id: Uuid, authority: &Authority) -> Change {
    Change::put(CaCertificate { id, cert: read(&authority.cert) })
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}
