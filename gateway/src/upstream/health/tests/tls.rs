//! Probes over TLS.

use ::http::uri::PathAndQuery;
use ::http::{HeaderValue, Method, Version};
use model::CaCertificate;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use testkit::certs::{self, Pair};
use testkit::origin::Origin;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::upstream::{Authority, Host, Protocol, Terms, UpstreamTls};

/// Makes a TLS acceptor for one protocol.
pub(super) fn acceptor(pair: &Pair, protocol: &[u8]) -> TlsAcceptor {
    node::install_tls_provider();
    let chain = CertificateDer::pem_file_iter(&pair.cert).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Trusts an authority.
pub(super) fn trust(authority: &certs::Authority) -> UpstreamTls {
    let cert = std::fs::read_to_string(&authority.cert).unwrap();
    let authority = Authority::parse(&CaCertificate { cert, ..CaCertificate::default() }).unwrap();
    UpstreamTls::new(None, &[&authority], None)
}

fn https(name: &str, trust: &UpstreamTls) -> Check {
    Check::Http(HttpCheck {
        terms: Arc::new(Terms::tls(Protocol::Http1, &Host::new(name), trust).unwrap()),
        version: Version::HTTP_11,
        method: Method::GET,
        path: PathAndQuery::from_static("/"),
        host: HeaderValue::from_static("target.test"),
        fields: Arc::new([]),
    })
}

#[tokio::test]
async fn certificate_is_verified_where_it_is_to_be() {
    node::install_tls_provider();
    let folder = tempfile::tempdir().unwrap();
    let [good, other] = ["good", "other"].map(|name| certs::Authority::new(folder.path(), name));
    let acceptor = acceptor(&good.issue_server("server", &["target.test"]), b"http/1.1");
    let (listener, mut tasks) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), JoinSet::new());
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                serve(stream, &|_| Some(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())).await;
            });
        }
    });
    let (good, other, any) = (trust(&good), trust(&other), UpstreamTls::common(false));
    let probing = Probing::new();
    for _ in 0..2 {
        for check in [https("target.test", &good), https("127.0.0.1", &any), https("x.test", &any)] {
            assert_eq!(probing.run(address, check).await, ProbeOutcome::Status(200));
        }
        for check in [https("x.test", &good), https("127.0.0.1", &good), https("target.test", &other)] {
            let outcome = probing.run(address, check).await;
            assert!(is_tcp_failure(&outcome, "TLS handshake failed"), "{outcome:?}");
        }
    }
    let plaintext = Origin::start();
    let outcome = probing.run_within(plaintext.address(), https("target.test", &any), 2 * SECOND).await;
    assert!(matches!(outcome, ProbeOutcome::TcpFailure(_) | ProbeOutcome::Timeout), "{outcome:?}");
}
