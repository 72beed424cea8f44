//! TLS sessions: clients resume them, however many other clients connect meanwhile, as long as their
//! certificate is the one that is served.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway::table::Change;
use nix::sys::signal::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion, version};
use testkit::certs::Pair;
use testkit::http::Client;
use testkit::origin::Origin;
use testkit::ports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use uuid::Uuid;

use crate::support::{Gateway, route, service};
use crate::tls::{Pairs, name, put};
use crate::upgrade::Stage;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// A client with a session store.
#[derive(Clone)]
struct Browser(Arc<ClientConfig>);

impl Browser {
    fn new(version: &'static SupportedProtocolVersion, trusted: &[&Pair]) -> Self {
        node::install_tls_provider();
        let mut roots = RootCertStore::empty();
        for pair in trusted {
            roots.add(CertificateDer::from_pem_file(&pair.cert).unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_protocol_versions(&[version]);
        Self(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }

    /// Sends a request on a connection of its own; returns the kind of handshake.
    async fn visit(&self, address: SocketAddr, host: &str) -> std::io::Result<HandshakeKind> {
        let stream = TcpStream::connect(address).await?;
        let server = ServerName::try_from(host.to_owned()).unwrap();
        let mut stream = TlsConnector::from(self.0.clone()).connect(server, stream).await?;
        let request = format!("GET /kept HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        // TLS 1.3 sends tickets after the handshake.
        let mut answer = Vec::new();
        // The order in which TLS and TCP end does not matter.
        stream.read_to_end(&mut answer).await.ok();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        Ok(stream.get_ref().1.handshake_kind().unwrap())
    }
}

fn serving() -> (Gateway, Origin, Pairs) {
    let (gateway, origin, pairs) = (Gateway::start(), Origin::start(), Pairs::new());
    gateway.serve(service(1, &origin), route(1, "/"));
    (gateway, origin, pairs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_any_number_of_others() {
    let (gateway, _origin, pairs) = serving();
    let pair = pairs.make("pair", &["a.example"]);
    gateway.apply(vec![put(1, &pair), name(1, "a.example", 1)]);
    for version in VERSIONS {
        let browser = Browser::new(version, &[&pair]);
        let visit = || browser.visit(gateway.tls_address, "a.example");
        assert_eq!(visit().await.unwrap(), HandshakeKind::Full);
        assert_eq!(visit().await.unwrap(), HandshakeKind::Resumed);
        for _ in 0..300 {
            let other = Browser::new(version, &[&pair]);
            assert_eq!(other.visit(gateway.tls_address, "a.example").await.unwrap(), HandshakeKind::Full);
        }
        assert_eq!(visit().await.unwrap(), HandshakeKind::Resumed, "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_certificate() {
    let (gateway, _origin, pairs) = serving();
    let (old, new) = (pairs.make("old", &["a.example"]), pairs.make("new", &["a.example"]));
    for version in VERSIONS {
        gateway.apply(vec![put(1, &old), name(1, "a.example", 1)]);
        let browser = Browser::new(version, &[&old, &new]);
        let visit = || browser.visit(gateway.tls_address, "a.example");
        assert_eq!(visit().await.unwrap(), HandshakeKind::Full);
        gateway.apply(vec![put(1, &new)]);
        assert_eq!(visit().await.unwrap(), HandshakeKind::Full, "{version:?}: the new one is shown");
        assert_eq!(visit().await.unwrap(), HandshakeKind::Resumed);
        gateway.apply(vec![Change::remove(model::Sni::key(Uuid::from_u128(0x501)))]);
        visit().await.expect_err("no certificate, no session");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_for_its_own_server_name() {
    let (gateway, _origin, pairs) = serving();
    let pair = pairs.make("pair", &["a.example", "b.example"]);
    gateway.apply(vec![put(1, &pair), name(1, "a.example", 1), name(2, "b.example", 1)]);
    for version in VERSIONS {
        let browser = Browser::new(version, &[&pair]);
        browser.visit(gateway.tls_address, "a.example").await.unwrap();
        assert_eq!(browser.visit(gateway.tls_address, "b.example").await.unwrap(), HandshakeKind::Full);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_an_upgrade() {
    let tls = ports::reserve();
    let mut stage = Stage::start(&[("proxy.listen_tls", &tls.to_string())]).await;
    let browsers = VERSIONS.map(|version| Browser::new(version, &[&stage.certificate]));
    for browser in &browsers {
        assert_eq!(browser.visit(tls.address(), "kept.test").await.unwrap(), HandshakeKind::Full);
    }
    for _ in 0..2 {
        let before = stage.main_pid();
        stage.signal(Signal::SIGUSR2);
        stage.told("READY=1").await;
        stage.ended(before).await;
        Client::new(stage.proxy.address()).get("/kept").await.unwrap().expect(200);
        for browser in &browsers {
            assert_eq!(browser.visit(tls.address(), "kept.test").await.unwrap(), HandshakeKind::Resumed);
        }
    }
    stage.stop().await;
}
