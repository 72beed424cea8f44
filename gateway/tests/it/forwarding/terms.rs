//! Connections to upstreams are used again under the same terms, and under no others. A new configuration
//! leaves them open.

use std::path::Path;
use std::sync::Arc;

use gateway::table::Change;
use model::{CaCertificate, Certificate, Protocol, Route, Service};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use testkit::certs::{Authority, Pair, Usage};
use testkit::origin::Origin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::http2;
use super::raw::Peer;
use super::{to, to_http2};
use crate::support::{Gateway, at, route, service};

const GOOD: Uuid = Uuid::from_u128(0xa1);
const OTHER: Uuid = Uuid::from_u128(0xa2);
const ONE: Uuid = Uuid::from_u128(0xc1);
const TWO: Uuid = Uuid::from_u128(0xc2);

/// What an upstream knows of one connection.
#[derive(Clone, Debug, Default, PartialEq)]
struct Handshake {
    server_name: Option<String>,
    client: Option<CertificateDer<'static>>,
}

/// An upstream with TLS whose answers name their connection: `{"connection": 0}`. Ends when it is dropped.
struct Numbering {
    address: std::net::SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    _tasks: JoinSet<()>,
}

impl Numbering {
    async fn start(pair: &Pair, clients: &Authority) -> Self {
        let acceptor = acceptor(pair, clients);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::<Mutex<Vec<Handshake>>>::default();
        let (mut tasks, made) = (JoinSet::new(), Arc::clone(&handshakes));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(acceptor.clone(), stream, Arc::clone(&made)));
            }
        });
        Self { address, handshakes, _tasks: tasks }
    }
}

fn acceptor(pair: &Pair, clients: &Authority) -> TlsAcceptor {
    node::install_tls_provider();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&clients.cert).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(roots.into()).allow_unauthenticated().build().unwrap();
    let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()))
}

/// Answers all requests of one connection, which have no bodies.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream, made: Arc<Mutex<Vec<Handshake>>>) {
    // A connection whose client does not trust it fails.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let tls = stream.get_ref().1;
    let client = tls.peer_certificates().map(|chain| chain[0].clone().into_owned());
    let handshake = Handshake { server_name: tls.server_name().map(str::to_owned), client };
    let number = {
        let mut made = made.lock().await;
        made.push(handshake);
        made.len() - 1
    };
    let body = format!("{{\"connection\": {number}}}");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

struct Authorities {
    good: Authority,
    other: Authority,
    _folder: tempfile::TempDir,
}

impl Authorities {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [good, other] = ["good", "other"].map(|name| Authority::new(folder.path(), name));
        Self { good, other, _folder: folder }
    }

    fn put(&self) -> Vec<Change> {
        let authority = |id, of: &Authority| Change::put(CaCertificate { id, cert: read(&of.cert) });
        vec![authority(GOOD, &self.good), authority(OTHER, &self.other)]
    }

    /// Issues a certificate for clients, and puts it.
    fn client(&self, id: Uuid, name: &str) -> (Change, CertificateDer<'static>) {
        let pair = self.good.issue(name, &[], &[Usage::ClientAuth]);
        let (cert, key) = (read(&pair.cert), read(&pair.key));
        let put = Change::put(Certificate { id, cert, key: key.into(), ..Certificate::default() });
        (put, CertificateDer::from_pem_file(&pair.cert).unwrap())
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// Puts a service under the path of its number.
fn put(gateway: &Gateway, service: Service) {
    let id = service.id.as_u128();
    gateway.serve(service, route(id, &format!("/{id}")));
}

async fn connection(gateway: &Gateway, id: usize) -> usize {
    let answer = gateway.get(&format!("/{id}")).await.expect(200).json();
    usize::try_from(answer["connection"].as_u64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_used_under_other_terms() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let server = authorities.good.issue_server("server", &["localhost"]);
    let upstream = Numbering::start(&server, &authorities.good).await;
    gateway.apply(authorities.put());
    let (put_one, one) = authorities.client(ONE, "one");
    let (put_two, two) = authorities.client(TWO, "two");
    gateway.apply(vec![put_one, put_two]);

    let https = |id| Service {
        protocol: Protocol::Https,
        host: "localhost".into(),
        retries: 0,
        ..at(id, upstream.address)
    };
    let by = |id, authorities: &[Uuid]| Service {
        tls_verify: Some(true),
        ca_certificates: Some(authorities.to_vec()),
        ..https(id)
    };
    let services = [
        Service { tls_verify: Some(false), ..https(0) },
        by(1, &[GOOD]),
        by(2, &[GOOD, OTHER]),
        Service { client_certificate: Some(ONE), ..by(3, &[GOOD]) },
        Service { client_certificate: Some(TWO), ..by(4, &[GOOD]) },
        Service { tls_verify_depth: Some(0), ..by(5, &[GOOD]) },
        Service { tls_verify: Some(false), host: "127.0.0.1".into(), ..https(6) },
        Service { tls_verify: Some(false), client_certificate: Some(ONE), ..https(7) },
    ];
    let (all, name) = (services.len(), Some("localhost".to_owned()));
    services.into_iter().for_each(|service| put(&gateway, service));
    // The terms of the second one.
    put(&gateway, Service { name: Some("twin".into()), ..by(8, &[GOOD]) });

    for _ in 0..3 {
        for id in 0..all {
            assert_eq!(connection(&gateway, id).await, id, "the connection of other terms");
        }
        assert_eq!(connection(&gateway, 8).await, 1, "equal terms share their connections");
    }
    let bare = Handshake { server_name: name.clone(), client: None };
    let with = |client| Handshake { server_name: name.clone(), client: Some(client) };
    let unnamed = Handshake::default();
    let expected =
        [bare.clone(), bare.clone(), bare.clone(), with(one.clone()), with(two), bare, unnamed, with(one)];
    assert_eq!(*upstream.handshakes.lock().await, expected);
}

/// The names are different, and so are the certificates that are expected of them.
#[tokio::test(flavor = "multi_thread")]
async fn connection_for_one_name_is_not_used_for_another() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let server = authorities.good.issue_server("server", &["localhost"]);
    let upstream = Numbering::start(&server, &authorities.good).await;
    gateway.apply(authorities.put());
    let verified = |id, host: &str| Service {
        protocol: Protocol::Https,
        host: host.into(),
        retries: 0,
        tls_verify: Some(true),
        ca_certificates: Some(vec![GOOD]),
        ..at(id, upstream.address)
    };
    put(&gateway, verified(0, "localhost"));
    put(&gateway, verified(1, "127.0.0.1"));
    for _ in 0..3 {
        assert_eq!(connection(&gateway, 0).await, 0);
        gateway.get("/1").await.expect(502);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_leaves_connections_open() {
    let (gateway, authorities) = (Gateway::start(), Authorities::new());
    let server = authorities.good.issue_server("server", &["localhost"]);
    let upstream = Numbering::start(&server, &authorities.good).await;
    gateway.apply(authorities.put());
    let secure = Service {
        protocol: Protocol::Https,
        host: "localhost".into(),
        tls_verify: Some(true),
        ca_certificates: Some(vec![GOOD]),
        ..at(0, upstream.address)
    };
    let plain = Origin::start();
    put(&gateway, secure.clone());
    put(&gateway, service(1, &plain));
    let asked = async || {
        assert_eq!(connection(&gateway, 0).await, 0);
        gateway.get("/1").await.expect(200);
        assert_eq!(plain.connections(), 1);
    };
    asked().await;
    // Another service; the path and the timeouts of the same one; a route; the authority, which is equal.
    put(&gateway, service(2, &plain));
    asked().await;
    put(&gateway, Service { path: Some("/below".into()), read_timeout: 5000, ..secure.clone() });
    put(&gateway, Service { path: Some("/below".into()), ..service(1, &plain) });
    asked().await;
    assert_eq!(plain.last().target, "/below");
    gateway.apply(vec![Change::put(Route { service: Some(secure.id), ..route(9, "/9") })]);
    assert_eq!(connection(&gateway, 9).await, 0);
    gateway.apply(authorities.put());
    asked().await;
    // Other terms.
    put(&gateway, Service { tls_verify: Some(false), ..secure });
    assert_eq!(connection(&gateway, 0).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_leaves_a_connection_of_http2_open() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let grpc = Service { protocol: Protocol::Grpc, ..at(1, upstream.address) };
    for (read_timeout, path) in [(60_000, "/"), (5000, "/"), (5000, "/a")] {
        gateway
            .serve(Service { read_timeout, ..grpc.clone() }, Route { strip_path: false, ..route(1, path) });
        let mut client = Peer::connect(gateway.address()).await;
        client.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut stream = upstream.accept().await;
        assert_eq!(stream.request.uri().path(), "/a");
        stream.begin(200).send_data("ok".into(), true).unwrap();
        client.status(200).await;
    }
    assert_eq!(upstream.connections(), 1);
}

/// A push amid an exchange does not disturb it.
#[tokio::test(flavor = "multi_thread")]
async fn configuration_leaves_requests_in_flight_alone() {
    let upstream = super::raw::Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf").await;
    let (mut peer, _) = upstream.accept_request().await;
    assert_eq!(peer.exact(4).await, "half");
    gateway.apply(vec![
        Change::remove(model::Route::key(Uuid::from_u128(0x101))),
        Change::remove(model::Service::key(Uuid::from_u128(1))),
    ]);
    client.send("half").await;
    assert_eq!(peer.exact(4).await, "half");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.status(404).await;
}
