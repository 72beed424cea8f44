//! Who a node of a cluster is, and whom it trusts, in `shared` mode: every node holds the same key pair, and
//! trusts a peer whose certificate is one of its [`Pins`] and is valid today.
//!
//! The pins are a set, so that a pair can be replaced without an interruption: first every node pins the new
//! certificate beside the old one, then every node changes its pair, then the old pin goes.
//!
//! Connections are TLS 1.3 only, and each is a full handshake: a resumed session would skip the check of the
//! certificate, so no tickets are given out and none are kept.

mod verify;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use verify::PinVerifier;

/// What a data plane asks for as the server's name. Nobody checks it: a pin says more than a name.
pub const SERVER_NAME: &str = "gibbon-cluster";

/// WebSocket begins as HTTP/1.1; a peer that speaks anything else is at the wrong port.
const ALPN: &[u8] = b"http/1.1";

/// The key pair of this node.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    leaf: Leaf,
}

/// The certificates that are trusted, by fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeSet<Fingerprint>);

/// SHA-256 of a certificate's DER bytes, as `openssl x509 -fingerprint -sha256` prints it, without colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// What is read out of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Of the certificate.
    pub fingerprint: Fingerprint,
    /// First moment of validity, seconds since 1970.
    pub not_before: i64,
    /// Last moment of validity, seconds since 1970.
    pub not_after: i64,
}

/// Why a key pair or a list of pins cannot be used. A program ends with [`crate::exit::Code::Unavailable`].
#[derive(Debug, thiserror::Error)]
#[error("cannot use the cluster {what} {}: {reason}", path.display())]
pub struct IdentityError {
    what: &'static str,
    path: PathBuf,
    reason: String,
}

impl Identity {
    /// Reads a certificate (a chain, its own first) and its key, both PEM.
    ///
    /// An expired certificate is not an error: a data plane that holds one is refused by every control
    /// plane, and serves on from what it has.
    ///
    /// # Errors
    ///
    /// A file cannot be read, holds something else, or the key is not the certificate's.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain = read_certificates(certificate)?;
        let leaf = Leaf::of(&chain[0]).map_err(|reason| fail(CERTIFICATE, certificate, reason))?;
        let key_der = read_key(key)?;
        let signer = rustls::crypto::ring::sign::any_supported_type(&key_der)
            .map_err(|error| fail(KEY, key, format!("{error}; {}", hint())))?;
        let certified = CertifiedKey::new(chain, signer);
        certified.keys_match().map_err(|_mismatch| {
            fail(KEY, key, format!("it is not the key of {}; {}", certificate.display(), hint()))
        })?;
        Ok(Self { certified: Arc::new(certified), leaf })
    }

    /// Of the node's own certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.leaf.fingerprint
    }

    /// Last moment of validity of the node's own certificate, seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.leaf.not_after
    }
}

impl Pins {
    /// Trusts, beside those of `self`, every certificate in a PEM file.
    ///
    /// # Errors
    ///
    /// The file cannot be read or holds no certificate.
    pub fn and_file(mut self, path: &Path) -> Result<Self, IdentityError> {
        self.0.extend(read_certificates(path)?.iter().map(Fingerprint::of));
        Ok(self)
    }

    /// Whether a certificate is trusted.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.contains(fingerprint)
    }
}

/// Trusts those who hold the same pair.
impl From<&Identity> for Pins {
    fn from(identity: &Identity) -> Self {
        Self::from_iter([identity.fingerprint()])
    }
}

impl FromIterator<Fingerprint> for Pins {
    fn from_iter<I: IntoIterator<Item = Fingerprint>>(fingerprints: I) -> Self {
        Self(fingerprints.into_iter().collect())
    }
}

impl Leaf {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// It is not X.509: with what is wrong.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| format!("not X.509: {error}"))?;
        let validity = parsed.validity();
        Ok(Self {
            fingerprint: Fingerprint::of(certificate),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }
}

impl Fingerprint {
    /// Of a certificate's DER bytes.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// The listener's side: asks for a client certificate, and speaks to nobody without a pinned, valid one.
///
/// # Errors
///
/// The TLS provider lacks what TLS 1.3 needs.
pub fn server_config(identity: &Identity, pins: &Pins) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(PinVerifier::new(pins.clone(), &provider))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified.clone())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The dialler's side: presents its own certificate to nobody but a server with a pinned, valid one.
///
/// # Errors
///
/// As of [`server_config`].
pub fn client_config(identity: &Identity, pins: &Pins) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(PinVerifier::new(pins.clone(), &provider))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified.clone())));
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// The private key stays out of whatever prints this.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const CERTIFICATE: &str = "certificate";
const KEY: &str = "key";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// At least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let pem = read(CERTIFICATE, path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| fail(CERTIFICATE, path, error.to_string()))?;
    match certificates.is_empty() {
        true => Err(fail(CERTIFICATE, path, format!("there is no certificate in it; {}", hint()))),
        false => Ok(certificates),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let pem = read(KEY, path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_malformed| fail(KEY, path, format!("there is no private key in it; {}", hint())))
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => fail(what, path, format!("there is no such file; {}", hint())),
        _ => fail(what, path, error.to_string()),
    })
}

fn fail(what: &'static str, path: &Path, reason: String) -> IdentityError {
    IdentityError { what, path: path.to_owned(), reason }
}

fn hint() -> &'static str {
    "make a pair with: gibbon-control pki gen-cert"
}

/// The check by itself, for the tests of what a foreign client can do.
#[cfg(test)]
pub(crate) fn verifier_for_tests(pins: &Pins) -> Arc<dyn rustls::client::danger::ServerCertVerifier> {
    PinVerifier::new(pins.clone(), &provider())
}

#[cfg(test)]
mod tests;
