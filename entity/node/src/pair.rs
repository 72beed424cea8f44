//! A certificate and its private key in the form in which TLS uses them.

use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why two texts are no pair. No message holds anything of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The certificate cannot be used.
    #[error("invalid certificate: {0}")]
    Certificate(String),
    /// The key cannot be used.
    #[error("invalid key: {0}")]
    Key(&'static str),
    /// They are of different pairs.
    #[error("certificate does not match key")]
    Mismatch,
}

/// Parses a chain of certificates, the one of the key first, and the key, both PEM.
///
/// # Errors
/// What is wrong with them.
pub fn parse(cert: &str, key: &str) -> Result<CertifiedKey, PairError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
    let chain = chain.map_err(|error| PairError::Certificate(error.to_string()))?;
    let first = chain.first().ok_or_else(|| PairError::Certificate("no PEM block is one".to_owned()))?;
    x509_parser::parse_x509_certificate(first)
        .map_err(|error| PairError::Certificate(format!("not X.509: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let key = key.map_err(|_| PairError::Key("no PEM block is a private key"))?;
    let key = any_supported_type(&key)
        .map_err(|_| PairError::Key("not of a type that TLS knows: RSA, ECDSA P-256 and P-384, Ed25519"))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        // Some keys cannot tell.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(_) => Err(PairError::Mismatch),
    }
}
