//! Certificates and private keys in the form in which TLS uses them. The same code of rustls and webpki
//! checks them where an operator writes them and where a node uses them. A pair that was accepted therefore
//! does not fail later.

use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// Keys that can verify a peer's signature.
const VERIFIED: &str = "RSA of 2048 to 8192 bits, ECDSA P-256 and P-384, Ed25519";
/// Keys that can sign.
const SIGNED: &str = "RSA of 2048 to 4096 bits, ECDSA P-256 and P-384, Ed25519";

/// Why two texts are not a pair. No message holds any part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertifiedKeyError {
    /// The certificate cannot be used.
    #[error("invalid certificate: {0}")]
    Certificate(String),
    /// The key cannot be used.
    #[error("invalid key: {0}")]
    Key(String),
    /// The certificate and the key belong to different pairs.
    #[error("certificate does not match key")]
    Mismatch,
}

/// Parses a chain of certificates and a key, both PEM. The first certificate is that of the key.
///
/// # Errors
/// The reason why they cannot be used.
pub fn parse(cert: &str, key: &str) -> Result<CertifiedKey, CertifiedKeyError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
    let chain = chain.map_err(|error| CertifiedKeyError::Certificate(error.to_string()))?;
    let first =
        chain.first().ok_or_else(|| CertifiedKeyError::Certificate("no PEM block is one".to_owned()))?;
    let parsed = x509(first)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
    let key = key.map_err(|_| CertifiedKeyError::Key("no PEM block is a private key".to_owned()))?;
    let key = any_supported_type(&key).map_err(|_| unusable_key(&parsed))?;
    readable(first)?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        // Some keys cannot say whether they match.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(_) => Err(CertifiedKeyError::Mismatch),
    }
}

/// Checks one certificate of a chain: X.509, without trailing bytes.
///
/// # Errors
/// [`CertifiedKeyError::Certificate`].
pub fn check_x509(der: &[u8]) -> Result<(), CertifiedKeyError> {
    x509(der).map(drop)
}

/// Checks a certificate that is to verify peers.
///
/// # Errors
/// [`CertifiedKeyError::Certificate`].
pub fn check_authority(der: &[u8]) -> Result<(), CertifiedKeyError> {
    let parsed = x509(der)?;
    readable(der)?;
    let algorithms = default_provider().signature_verification_algorithms.all;
    let key = parsed.public_key();
    // A public key begins with the identifier of its algorithm.
    let is_known = algorithms
        .iter()
        .any(|one| key.raw.windows(one.public_key_alg_id().len()).any(|at| at == &*one.public_key_alg_id()));
    let is_long_enough = rsa_bits(&parsed).is_none_or(|bits| (2048..=8192).contains(&bits));
    if !is_known || !is_long_enough {
        let reason = format!("its key is {}; TLS can verify with {VERIFIED}", kind(&parsed));
        return Err(CertifiedKeyError::Certificate(reason));
    }
    let added = RootCertStore::empty().add(CertificateDer::from_slice(der).into_owned());
    added.map_err(|error| CertifiedKeyError::Certificate(error.to_string()))
}

fn x509(der: &[u8]) -> Result<X509Certificate<'_>, CertifiedKeyError> {
    let not = |reason: String| CertifiedKeyError::Certificate(format!("not X.509: {reason}"));
    match X509Certificate::from_der(der) {
        Ok(([], parsed)) => Ok(parsed),
        Ok(_) => Err(not("other bytes follow it".to_owned())),
        Err(error) => Err(not(error.to_string())),
    }
}

/// Parses a certificate with webpki, which checks it before any signature.
fn readable(der: &[u8]) -> Result<(), CertifiedKeyError> {
    let reason = match EndEntityCert::try_from(&CertificateDer::from_slice(der)) {
        Ok(_) => return Ok(()),
        Err(webpki::Error::UnsupportedCertVersion) => "it is not X.509 version 3, which TLS needs".to_owned(),
        Err(webpki::Error::UnsupportedCriticalExtension) => {
            "it has a critical extension that is not supported".to_owned()
        }
        Err(error) => format!("TLS cannot read it: {error}"),
    };
    Err(CertifiedKeyError::Certificate(reason))
}

fn unusable_key(certificate: &X509Certificate<'_>) -> CertifiedKeyError {
    CertifiedKeyError::Key(format!(
        "TLS cannot sign with it: usable are {SIGNED}; the certificate's key is {}",
        kind(certificate)
    ))
}

/// The type of a certificate's key, in words.
fn kind(certificate: &X509Certificate<'_>) -> String {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => format!("RSA of {} bits", key.key_size()),
        Ok(PublicKey::EC(_)) => "ECDSA on another curve".to_owned(),
        Ok(PublicKey::DSA(_)) => "DSA".to_owned(),
        _ => "of another type".to_owned(),
    }
}

fn rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        _ => None,
    }
}
