//! Access to the cluster's listener: without the pair, no connection gets a byte of configuration.

mod nodes;
mod reload;
mod revoked;
mod stage;

use std::sync::Arc;

use node::identity::{Identity, Pins, client_config};
use node::link::{self, LinkError};
use testkit::certs::{self, Pair};
use testkit::plane::{Control, Database};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

struct Stage {
    control: Control,
    pair: Pair,
    folder: tempfile::TempDir,
}

async fn stage() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::valid(folder.path(), "cluster");
    let mut control = Control::new(Database::Sqlite, &pair);
    control.node.start().await;
    Stage { control, pair, folder }
}

/// Connects with `pair`, trusting the control plane's own certificate, as a rogue that has seen it would.
async fn dial(stage: &Stage, pair: &Pair) -> Result<link::Link, LinkError> {
    let rogue = Identity::load(&pair.cert, &pair.key).unwrap();
    let pins = Pins::default().and_file(&stage.pair.cert).unwrap();
    let config = client_config(&rogue, &pins).unwrap();
    let mut link = link::connect(&stage.control.cluster().to_string(), config).await?;
    // A server's refusal of a certificate may come only after the client's side of the handshake.
    match link.recv().await {
        Ok(message) => panic!("the control plane spoke first, to a stranger: {message:?}"),
        Err(error) => Err(error),
    }
}

async fn is_refused(stage: &Stage, pair: &Pair, reason: &str) {
    let refusals = || async {
        let series = format!(r#"gibbon_cluster_handshakes_refused_total{{reason="{reason}"}}"#);
        stage.control.node.metric(&series).await
    };
    let error = dial(stage, pair).await.err().unwrap();
    assert!(matches!(error, LinkError::Tls(_)), "{error}");
    testkit::wait::eventually(testkit::plane::DEADLINE, || async {
        match refusals().await {
            1.0 => Ok(()),
            count => Err(format!("{count} refusals for {reason}")),
        }
    })
    .await;
}

#[tokio::test]
async fn another_self_signed_certificate_is_refused() {
    let stage = stage().await;
    let other = certs::valid(stage.folder.path(), "other");
    is_refused(&stage, &other, "unknown_certificate").await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_even_where_it_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let pair = certs::valid(folder.path(), "cluster");
    let expired = certs::expired(folder.path(), "expired");
    let mut control = Control::new(Database::Sqlite, &pair);
    control.node.set("cluster.ca", expired.cert.display());
    control.node.start().await;
    let stage = Stage { control, pair, folder };
    is_refused(&stage, &expired, "expired_certificate").await;
}

#[tokio::test]
async fn no_certificate_is_refused_without_a_byte() {
    let stage = stage().await;
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustsAnyone))
            .with_no_client_auth();
    let stream = TcpStream::connect(stage.control.cluster().to_string()).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("gibbon-cluster").unwrap();
    let mut received = Vec::new();
    if let Ok(mut tls) = TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        let request = b"GET /v1/gibbon HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        // Either direction may find the connection closed already: only the received bytes count.
        tls.write_all(request).await.ok();
        tls.read_to_end(&mut received).await.ok();
    }
    assert!(received.is_empty(), "{:?}", String::from_utf8_lossy(&received));
}

#[tokio::test]
async fn the_pair_is_let_in() {
    let stage = stage().await;
    let own = Identity::load(&stage.pair.cert, &stage.pair.key).unwrap();
    let config = client_config(&own, &Pins::from(&own)).unwrap();
    link::connect(&stage.control.cluster().to_string(), config).await.unwrap();
}

/// Accepts every certificate, as a rogue client would.
#[derive(Debug)]
struct TrustsAnyone;

impl rustls::client::danger::ServerCertVerifier for TrustsAnyone {
    fn verify_server_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: &rustls_pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
