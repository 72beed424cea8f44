//! TLS with clients: which certificate is shown, and what a request learns from the handshake.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway::table::Change;
use model::{Certificate, Protocol, Route, Sni};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use testkit::certs::{self, Pair};
use testkit::curl;
use testkit::http::Connection;
use testkit::origin::{Answer, Origin};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

use crate::support::{Gateway, route, service};

/// Server certificates, each its own authority.
pub(crate) struct Pairs(TempDir);

impl Pairs {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn make(&self, file: &str, names: &[&str]) -> Pair {
        certs::server(self.0.path(), file, names)
    }
}

pub(crate) fn put(id: u128, pair: &Pair) -> Change {
    let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
    let certificate =
        Certificate { cert: read(&pair.cert), key: read(&pair.key).into(), ..Certificate::default() };
    Change::put(Certificate { id: Uuid::from_u128(id), ..certificate })
}

pub(crate) fn name(id: u128, name: &str, certificate: u128) -> Change {
    let certificate = Uuid::from_u128(certificate);
    Change::put(Sni { id: Uuid::from_u128(0x500 + id), name: name.into(), certificate })
}

async fn ask(gateway: &Gateway, name: &str, pair: &Pair, more: &[&str]) -> Result<String, String> {
    curl::https(gateway.tls_address, name, pair, more).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let (gateway, origin, pairs) = (Gateway::start(), Origin::start(), Pairs::new());
    gateway.serve(service(1, &origin), route(1, "/"));
    let exact = pairs.make("exact", &["a.example"]);
    let left = pairs.make("left", &["*.a.example", "c.b.a.example"]);
    let right = pairs.make("right", &["shop.test"]);
    gateway.apply(vec![put(1, &exact), put(2, &left), put(3, &right)]);
    gateway.apply(vec![name(1, "a.example", 1), name(2, "*.a.example", 2), name(3, "shop.*", 3)]);
    for (host, pair) in [("a.example", &exact), ("A.Example", &exact), ("b.a.example", &left)] {
        ask(&gateway, host, pair, &[]).await.unwrap();
    }
    ask(&gateway, "c.b.a.example", &left, &[]).await.expect_err("a wildcard is one label");
    ask(&gateway, "shop.test", &right, &[]).await.unwrap();
    ask(&gateway, "other.test", &right, &[]).await.unwrap_err();
    gateway.wait_metric("gibbon_connections_total{result=\"tls_failed\"}", 2.0).await;
    let any = pairs.make("any", &["other.test"]);
    gateway.apply(vec![put(4, &any), name(4, "*", 4)]);
    ask(&gateway, "other.test", &any, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_comes_is_shown_by_the_next_handshake() {
    let (gateway, origin, pairs) = (Gateway::start(), Origin::start(), Pairs::new());
    gateway.serve(service(1, &origin), route(1, "/"));
    let (old, new) = (pairs.make("old", &["a.example"]), pairs.make("new", &["a.example"]));
    gateway.apply(vec![put(1, &old), name(1, "a.example", 1)]);
    ask(&gateway, "a.example", &old, &[]).await.unwrap();
    gateway.apply(vec![put(1, &new)]);
    ask(&gateway, "a.example", &new, &[]).await.unwrap();
    ask(&gateway, "a.example", &old, &[]).await.unwrap_err();
    gateway.apply(vec![Change::remove(model::Sni::key(Uuid::from_u128(0x501)))]);
    ask(&gateway, "a.example", &new, &[]).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_knows_of_its_tls() {
    let (gateway, origin, pairs) = (Gateway::start(), Origin::start(), Pairs::new());
    let pair = pairs.make("pair", &["a.example", "b.example"]);
    gateway.serve(service(1, &origin), Route { protocols: vec![Protocol::Https], ..route(1, "/") });
    gateway.apply(vec![put(1, &pair), name(1, "a.example", 1), name(2, "b.example", 1)]);
    let version = ["--write-out", "%{http_version}", "--output", "/dev/null"];
    assert_eq!(ask(&gateway, "a.example", &pair, &version).await.unwrap(), "2");
    let received = origin.last();
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
    assert_eq!(received.header("x-forwarded-port"), Some(&*gateway.tls_address.port().to_string()));
    let one = [&version[..], &["--http1.1"]].concat();
    assert_eq!(ask(&gateway, "a.example", &pair, &one).await.unwrap(), "1.1");
    gateway.get("/").await.expect(426);

    let for_b =
        Route { snis: Some(vec!["b.example".into()]), protocols: vec![Protocol::Https], ..route(2, "/") };
    gateway.apply(vec![Change::put(for_b)]);
    ask(&gateway, "a.example", &pair, &["--fail"]).await.unwrap();
    let refused = ask(&gateway, "b.example", &pair, &["--fail"]).await.unwrap_err();
    assert!(refused.contains("503"), "the route for b has no service: {refused}");
}

/// A scanner checks versions, ciphers, curves and the rest.
#[tokio::test(flavor = "multi_thread")]
async fn its_settings_are_mozillas_intermediate() {
    let (gateway, pairs) = (Gateway::start(), Pairs::new());
    let pair = pairs.make("pair", &["a.example"]);
    // The scanner sends one handshake without a name.
    gateway.apply(vec![put(1, &pair), name(1, "a.example", 1), name(2, "*", 1)]);
    let mut scan = Command::new("sslyze");
    scan.args(["--mozilla_config=intermediate", "--sni=a.example"]);
    let output = scan.arg(gateway.tls_address.to_string()).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(60), output).await.unwrap().expect("sslyze is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let (_, verdict) = said.split_once("COMPLIANCE AGAINST").expect("a verdict");
    let complaints: Vec<_> = verdict.lines().filter_map(|line| line.trim().strip_prefix("* ")).collect();
    // The one complaint: no public authority knows the certificate.
    assert!(matches!(complaints[..], [only] if only.starts_with("certificate_path_validation")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_has_a_deadline() {
    let gateway = Gateway::with(&[("proxy.header_timeout", "300ms")]);
    gateway.apply(vec![]);
    let mut silent = Connection::open(gateway.tls_address).await.unwrap();
    timeout(Duration::from_secs(10), silent.read_to_end()).await.unwrap().unwrap();
    gateway.wait_metric("gibbon_connections_total{result=\"tls_failed\"}", 1.0).await;
    gateway.wait_metric("gibbon_connections_active", 0.0).await;
}

/// Tests both protocol versions.
#[tokio::test(flavor = "multi_thread")]
async fn silence_after_the_handshake_has_a_deadline() {
    let (gateway, pairs) = (Gateway::with(&[("proxy.header_timeout", "300ms")]), Pairs::new());
    let pair = pairs.make("pair", &["a.example"]);
    gateway.apply(vec![put(1, &pair), name(1, "a.example", 1)]);
    for protocol in ["h2", "http/1.1"] {
        let mut silent = connect(&gateway, "a.example", &pair, protocol).await;
        assert_eq!(silent.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let end = timeout(Duration::from_secs(10), silent.read_to_end(&mut Vec::new())).await;
        // The order in which TLS and TCP end does not matter.
        end.expect("the connection ends").ok();
    }
    gateway.wait_metric("gibbon_connections_total{result=\"header_timeout\"}", 2.0).await;
    gateway.wait_metric("gibbon_connections_active", 0.0).await;
}

/// Connects, completes the handshake, and sends nothing.
async fn connect(gateway: &Gateway, name: &str, pair: &Pair, protocol: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&pair.cert).unwrap()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    let stream = TcpStream::connect(gateway.tls_address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// Handshakes continue while certificates change.
#[tokio::test(flavor = "multi_thread")]
async fn no_handshake_fails_while_certificates_change() {
    let (gateway, origin, pairs) = (Gateway::start(), Origin::start(), Pairs::new());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::status(200));
    let all: Vec<Pair> = (0..2).map(|at| pairs.make(&format!("pair{at}"), &["a.example"])).collect();
    gateway.apply(vec![put(1, &all[0]), name(1, "a.example", 1)]);
    for round in 0..40 {
        let insecure = ask(&gateway, "a.example", &all[0], &["--insecure", "--fail"]);
        let change = async { gateway.apply(vec![put(1, &all[round % 2])]) };
        tokio::join!(insecure, change).0.unwrap();
    }
}
