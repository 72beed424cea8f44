//! Targets with TLS, and with HTTP/2 and gRPC.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gateway::table::Change;
use http::uri::PathAndQuery;
use model::policy::{Policy, Retry, RetryMethods, RetryOn};
use model::{CaCertificate, Certificate, Protocol, Route, Service, Upstream};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use testkit::certs::{Authority, Pair, Usage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::{SOON, named_target, route, service, target, upstream};
use crate::grpc::echo;
use crate::support::Gateway;

const AUTHORITY: Uuid = Uuid::from_u128(0xa1);
const OF_SERVICE: Uuid = Uuid::from_u128(0xc1);
const OF_UPSTREAM: Uuid = Uuid::from_u128(0xc2);

/// What a target saw of a handshake and its request.
#[derive(Debug, PartialEq)]
struct Seen {
    server_name: Option<String>,
    certificate: Option<CertificateDer<'static>>,
    host: String,
}

/// A target with TLS that answers one request on each connection, and tells what it saw. Ends when it is
/// dropped.
struct TlsTarget {
    address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
    _tasks: JoinSet<()>,
}

impl TlsTarget {
    /// Starts a target that takes clients with and without a certificate of this authority.
    async fn start(pair: &Pair, authority: &Authority) -> Self {
        node::install_tls_provider();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&authority.cert).unwrap()).unwrap();
        let clients = WebPkiClientVerifier::builder(roots.into()).allow_unauthenticated().build().unwrap();
        let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
        let config = ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key);
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (tell, seen)) = (listener.local_addr().unwrap(), mpsc::unbounded_channel());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A connection whose client does not trust it fails.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                let Ok(read) = stream.read(&mut request).await else { continue };
                let connection = stream.get_ref().1;
                let certificates = connection.peer_certificates().unwrap_or_default();
                let text = String::from_utf8_lossy(&request[..read]);
                let host = text.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default();
                let seen = Seen {
                    server_name: connection.server_name().map(ToOwned::to_owned),
                    certificate: certificates.first().cloned().map(CertificateDer::into_owned),
                    host: host.to_owned(),
                };
                tell.send(seen).ok();
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                if stream.write_all(answer).await.is_ok() {
                    stream.shutdown().await.ok();
                }
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    async fn seen(&mut self) -> Seen {
        tokio::time::timeout(SOON, self.seen.recv()).await.unwrap().unwrap()
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

fn verified() -> Service {
    Service {
        protocol: Protocol::Https,
        tls_verify: Some(true),
        ca_certificates: Some(vec![AUTHORITY]),
        retries: 0,
        ..service()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_name_is_that_of_the_target_or_of_the_host_header() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let pair = authority.issue_server("server", &["localhost", "api.example"]);
    let mut secured = TlsTarget::start(&pair, &authority).await;
    let port = secured.address.port();
    let gateway = Gateway::start();
    gateway.apply(vec![
        Change::put(CaCertificate { id: AUTHORITY, cert: read(&authority.cert) }),
        Change::put(upstream()),
        Change::put(named_target(0, &format!("localhost:{port}"))),
    ]);
    gateway.serve(verified(), Route { preserve_host: false, ..route(1, "/") });
    gateway.get("/").await.expect(200);
    let seen = secured.seen().await;
    assert_eq!(
        (seen.server_name.as_deref(), &*seen.host),
        (Some("localhost"), &*format!("localhost:{port}"))
    );

    for (header, name, status) in [
        ("api.example", "api.example", 200),
        ("api.example:444", "api.example", 200),
        ("other.example", "", 502),
    ] {
        let host_header = Some(header.to_owned());
        gateway.apply(vec![Change::put(Upstream { host_header, ..upstream() })]);
        gateway.get("/").await.expect(status);
        if status == 200 {
            let seen = secured.seen().await;
            assert_eq!((seen.server_name.as_deref(), &*seen.host), (Some(name), header));
        }
    }
    // An address has no name that could be sent, and is not in the certificate.
    gateway.apply(vec![Change::put(upstream()), Change::put(target(0, secured.address))]);
    gateway.get("/").await.expect(502);
    gateway.serve(Service { tls_verify: Some(false), ..verified() }, route(1, "/"));
    gateway.get("/").await.expect(200);
    assert_eq!(secured.seen().await.server_name, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_of_the_service_goes_before_that_of_the_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let mut secured = TlsTarget::start(&authority.issue_server("server", &["localhost"]), &authority).await;
    let pairs = ["service", "upstream"].map(|name| authority.issue(name, &[], &[Usage::ClientAuth]));
    let [of_service, of_upstream] =
        pairs.each_ref().map(|pair| CertificateDer::from_pem_file(&pair.cert).unwrap());
    let gateway = Gateway::start();
    let certificate = |id, pair: &Pair| {
        let (cert, key) = (read(&pair.cert), read(&pair.key));
        Change::put(Certificate { id, cert, key: key.into(), ..Certificate::default() })
    };
    gateway.apply(vec![
        Change::put(CaCertificate { id: AUTHORITY, cert: read(&authority.cert) }),
        certificate(OF_SERVICE, &pairs[0]),
        certificate(OF_UPSTREAM, &pairs[1]),
        Change::put(upstream()),
        Change::put(named_target(0, &format!("localhost:{}", secured.address.port()))),
    ]);
    for (service_has, upstream_has, shown) in [
        (false, false, None),
        (false, true, Some(&of_upstream)),
        (true, false, Some(&of_service)),
        (true, true, Some(&of_service)),
        (false, false, None),
    ] {
        let client_certificate = upstream_has.then_some(OF_UPSTREAM);
        gateway.apply(vec![Change::put(Upstream { client_certificate, ..upstream() })]);
        let client_certificate = service_has.then_some(OF_SERVICE);
        gateway.serve(Service { client_certificate, ..verified() }, route(1, "/"));
        gateway.get("/").await.expect(200);
        assert_eq!(secured.seen().await.certificate.as_ref(), shown, "{service_has} {upstream_has}");
    }
    // A renewed certificate counts for the next connection.
    gateway.apply(vec![
        certificate(OF_UPSTREAM, &pairs[0]),
        Change::put(Upstream { client_certificate: Some(OF_UPSTREAM), ..upstream() }),
    ]);
    gateway.get("/").await.expect(200);
    assert_eq!(secured.seen().await.certificate, Some(of_service));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_is_balanced_by_call() {
    let servers = [echo::Server::start(None), echo::Server::start(None)];
    let gateway = Gateway::start();
    gateway.apply(vec![
        Change::put(upstream()),
        Change::put(target(0, servers[0].address)),
        Change::put(target(1, servers[1].address)),
    ]);
    let protocols = vec![Protocol::Grpc, Protocol::Grpcs];
    let grpc = Route { protocols, strip_path: false, ..route(1, "/test.Echo") };
    gateway.serve(Service { protocol: Protocol::Grpc, ..service() }, grpc);
    let mut client = echo::client(gateway.address(), None).await;
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for turn in 0..20 {
        let authority = call(&mut client, turn).await;
        *seen.entry(authority).or_default() += 1;
    }
    let expected: std::collections::BTreeSet<_> =
        servers.iter().map(|server| server.address.to_string()).collect();
    assert_eq!(seen.keys().cloned().collect::<std::collections::BTreeSet<_>>(), expected);
    // One of them is gone. A call may be on its connection before the gateway has noticed.
    let retry =
        Retry { on: vec![RetryOn::Connect, RetryOn::Reset], methods: RetryMethods::All, ..Retry::default() };
    let policy = Box::new(Policy { retry, ..Policy::default() });
    gateway.apply(vec![Change::put(Upstream { policy, ..upstream() })]);
    let [kept, gone] = servers;
    drop(gone);
    for turn in 0..10 {
        assert_eq!(call(&mut client, turn).await, kept.address.to_string());
    }
}

/// Makes a call, and returns the authority that the server saw.
async fn call(client: &mut echo::Client, message: u8) -> String {
    client.ready().await.unwrap();
    let method = PathAndQuery::from_static("/test.Echo/Each");
    let call = client.unary(tonic::Request::new(vec![message]), method, echo::Raw);
    let answer = tokio::time::timeout(SOON, call).await.unwrap().unwrap();
    let authority = answer.metadata().get("seen-authority").unwrap().to_str().unwrap().to_owned();
    assert_eq!(answer.into_inner(), [message]);
    authority
}
