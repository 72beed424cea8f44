//! Reads certificates and keys from PEM files, and reports faults in the words of the operator who made them.

use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a key pair or a list of trusted certificates cannot be used. A program ends with
/// [`crate::exit::Code::Unavailable`], or keeps the previous ones.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the cluster {what} {}: {reason}", path.display())]
pub struct IdentityError {
    what: &'static str,
    path: PathBuf,
    reason: String,
}

/// The node's own certificate, or a pinned one.
pub(super) const CERTIFICATE: &str = "certificate";
/// The node's own key.
pub(super) const KEY: &str = "key";
/// The certificates of the authorities.
pub(super) const AUTHORITIES: &str = "authorities";

/// The command that makes a key pair.
pub(super) const MAKE_PAIR: &str =
    "make a pair with: gibbon-control pki gen-cert, or pki issue in the pki mode";

impl IdentityError {
    pub(super) fn new(what: &'static str, path: &Path, reason: impl Into<String>) -> Self {
        Self { what, path: path.to_owned(), reason: reason.into() }
    }
}

/// Reads at least one certificate.
pub(super) fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let pem = read(what, path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| IdentityError::new(what, path, error.to_string()))?;
    match certificates.is_empty() {
        true => Err(IdentityError::new(what, path, format!("there is no certificate in it; {}", hint(what)))),
        false => Ok(certificates),
    }
}

pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, IdentityError> {
    let pem = read(KEY, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_malformed| {
        IdentityError::new(KEY, path, format!("there is no private key in it; {MAKE_PAIR}"))
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            IdentityError::new(what, path, format!("there is no such file; {}", hint(what)))
        }
        _ => IdentityError::new(what, path, error.to_string()),
    })
}

fn hint(what: &str) -> &'static str {
    if what == AUTHORITIES { "make an authority with: gibbon-control pki init" } else { MAKE_PAIR }
}
