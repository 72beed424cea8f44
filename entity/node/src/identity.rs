//! The identity of a node of a cluster, and the peers that it trusts, in one of two modes:
//!
//! - `shared`: every node holds the same key pair, and trusts a peer whose certificate is one of its
//!   [`Pins`]. The pins are a set, so that a pair can be replaced without an interruption. First every node
//!   pins the new certificate beside the old one, then every node changes its pair, then the old pin is
//!   removed.
//! - `pki`: every node has a pair of its own. It trusts a peer that has a certificate for its role from one
//!   of the node's [`Authorities`]. The name in the certificate ([`NodeName`]) says which program and which
//!   node it is for. A data plane therefore cannot pose as a control plane or as another data plane. An
//!   authority is replaced like a pair: for a while, nodes trust the old one and the new one.
//!
//! [`IdentityReloader`] reads the files again when they change.
//!
//! Connections are TLS 1.3 only, and each is a full handshake. A resumed session would skip the check of the
//! certificate, so no tickets are issued and none are kept.

mod certificate;
mod files;
mod reloader;
mod trust;
mod verify;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde::{Deserialize, Serialize};

pub use certificate::{Fingerprint, NodeName, NodeNameError, PeerCertificate, Role};
pub use files::IdentityError;
pub use reloader::{Files, IdentityReloader, POLL};
pub use trust::{Authorities, Pins, Trust};

use files::{CERTIFICATE, KEY, MAKE_PAIR};
use verify::PeerVerifier;
pub(crate) use verify::WrongRole;

/// The server name that a data plane sends. Nobody checks it: a pin, or a node's name, says more.
pub const SERVER_NAME: &str = "gibbon-cluster";

/// WebSocket begins as HTTP/1.1; a peer with any other protocol is at the wrong port.
const ALPN: &[u8] = b"http/1.1";

/// The key pair of this node.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    leaf: PeerCertificate,
}

/// How the nodes of a cluster authenticate each other: the key `cluster.mtls` of both programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All nodes hold the same pair.
    #[default]
    Shared,
    /// Each node holds a certificate from an authority.
    Pki,
}

impl Identity {
    /// Reads a certificate (a chain, its own first) and its key, both PEM.
    ///
    /// An expired certificate is not an error: every control plane refuses a data plane that holds one, and
    /// that data plane continues to serve its configuration.
    ///
    /// # Errors
    ///
    /// A file cannot be read, holds something else, or the key does not match the certificate.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain = files::certificates(CERTIFICATE, certificate)?;
        let leaf = PeerCertificate::of(&chain[0])
            .map_err(|reason| IdentityError::new(CERTIFICATE, certificate, reason))?;
        let key_der = files::key(key)?;
        let signer = rustls::crypto::ring::sign::any_supported_type(&key_der)
            .map_err(|error| IdentityError::new(KEY, key, format!("{error}; {MAKE_PAIR}")))?;
        let certified = CertifiedKey::new(chain, signer);
        certified.keys_match().map_err(|_mismatch| {
            let reason = format!("it is not the key of {}; {MAKE_PAIR}", certificate.display());
            IdentityError::new(KEY, key, reason)
        })?;
        Ok(Self { certified: Arc::new(certified), leaf })
    }

    /// The node's own certificate.
    pub fn leaf(&self) -> &PeerCertificate {
        &self.leaf
    }

    /// Fingerprint of the node's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.leaf.fingerprint
    }

    /// Last moment of validity of the node's own certificate, seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.leaf.not_after
    }
}

/// Makes the TLS configuration of a listener. It requests a client certificate, and accepts only a trusted,
/// valid one.
///
/// # Errors
///
/// The TLS provider does not support TLS 1.3.
pub fn server_config(
    identity: &Identity,
    trust: impl Into<Trust>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(PeerVerifier::new(trust.into(), &provider))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified.clone())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Makes the TLS configuration of a client. It presents its own certificate only to a server with a trusted,
/// valid one.
///
/// # Errors
///
/// Those of [`server_config`].
pub fn client_config(
    identity: &Identity,
    trust: impl Into<Trust>,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(PeerVerifier::new(trust.into(), &provider))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified.clone())));
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// `Debug` omits the private key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The check alone, for tests of a foreign client.
#[cfg(test)]
pub(crate) fn verifier_for_tests(pins: &Pins) -> Arc<dyn rustls::client::danger::ServerCertVerifier> {
    PeerVerifier::new(pins.into(), &provider())
}

#[cfg(test)]
mod tests;
