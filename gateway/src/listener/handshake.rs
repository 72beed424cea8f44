//! TLS with clients. Each handshake looks its certificate up in the live table, so that the next handshake
//! shows a certificate that was just applied.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::listeners::tls::{Acceptor, TlsSettings};
use pingora::listeners::{ALPN, TlsAccept};
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Connection;
use pingora::protocols::tls::{SslDigest, TlsRef};
use prometheus::IntCounter;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::timeout;
use tracing::debug;

use super::tickets::{self, Tickets};
use crate::certified_keys::Certificates;

/// The server's side of handshakes.
pub struct Handshake {
    acceptor: Acceptor,
    /// Timeout of a handshake.
    handshake_timeout: Duration,
    failed: IntCounter,
}

/// The server name that a client asked for, in lower case; empty if it sent none.
#[derive(Debug)]
pub struct ServerName(Box<str>);

impl Handshake {
    /// Creates handshakes with these certificates, each with the timeout `handshake_timeout`.
    /// `tickets` resume sessions; `failed` counts failed handshakes.
    ///
    /// # Panics
    /// When rustls' provider has not been installed, as `main` does first.
    pub fn new(
        certificates: Arc<dyn Certificates>,
        handshake_timeout: Duration,
        tickets: Arc<Tickets>,
        failed: IntCounter,
    ) -> Self {
        let settings = TlsSettings::with_callbacks(Box::new(NoteName));
        let mut settings = settings.expect("of files alone it could be said that they cannot be read");
        settings.set_cert_resolver(Arc::new(CertificateResolver(certificates)));
        settings.set_alpn(ALPN::H2H1);
        let mut acceptor = settings.build();
        let mut config = ServerConfig::clone(acceptor.acceptor.config());
        config.ticketer = tickets;
        // The default stores 256 sessions for all clients, without their certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        acceptor.acceptor = Arc::new(config).into();
        Self { acceptor, handshake_timeout, failed }
    }

    /// Accepts a connection; `None` when the handshake fails.
    pub async fn accept(&self, stream: Stream) -> Option<Stream> {
        let connection = stream.into_any().downcast::<Connection>().ok()?;
        match timeout(self.handshake_timeout, tickets::bound(self.acceptor.tls_handshake(*connection))).await
        {
            Ok(Ok(secured)) => return Some(Box::new(secured)),
            // A client's fault, or a name for which no certificate exists.
            Ok(Err(error)) => debug!("a TLS handshake failed: {error}"),
            Err(_) => debug!("a TLS handshake took longer than {:?}", self.handshake_timeout),
        }
        self.failed.inc();
        None
    }
}

impl ServerName {
    /// The server name of a connection; `None` for a connection without TLS.
    pub fn of(digest: Option<&SslDigest>) -> Option<&str> {
        // If the name was not noted, TLS is still TLS.
        digest.map(|digest| digest.extension.get::<Self>().map_or("", |name| &name.0))
    }
}

/// Stores the server name where requests find it, those of HTTP/2, too.
struct NoteName;

#[async_trait]
impl TlsAccept for NoteName {
    async fn handshake_complete_callback(&self, tls: &TlsRef) -> Option<Arc<dyn Any + Send + Sync>> {
        let name = tls.server_name().unwrap_or_default();
        Some(Arc::new(ServerName(name.trim_end_matches('.').to_ascii_lowercase().into())))
    }
}

#[derive(Debug)]
struct CertificateResolver(Arc<dyn Certificates>);

impl ResolvesServerCert for CertificateResolver {
    /// A client that sends no server name gets the certificate for every name.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let key = self.0.find(name.trim_end_matches('.'), hello.signature_schemes())?;
        tickets::note_certificate(key.end_entity_cert().ok()?);
        Some(key)
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake")
            .field("handshake_timeout", &self.handshake_timeout)
            .finish_non_exhaustive()
    }
}
