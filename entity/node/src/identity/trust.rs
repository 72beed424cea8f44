//! Whom a node trusts: who holds one of some certificates, or who was given one by an authority.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::certificate::{Fingerprint, PeerCertificate};
use super::files::{self, AUTHORITIES, CERTIFICATE, IdentityError};
use super::{Identity, provider};

/// Whom a node trusts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// `shared`: who holds one of these.
    Pins(Pins),
    /// `pki`: who was given a certificate for its role by one of these.
    Authorities(Authorities),
}

/// The certificates that are trusted, by fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeSet<Fingerprint>);

/// The authorities whose certificates are trusted: several, while one replaces another.
#[derive(Clone, Debug)]
pub struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    /// rustls offers the check of a client's chain in this form alone.
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

impl Pins {
    /// Trusts, beside those of `self`, every certificate in a PEM file.
    ///
    /// # Errors
    ///
    /// The file cannot be read or holds no certificate.
    pub fn and_file(mut self, path: &Path) -> Result<Self, IdentityError> {
        self.0.extend(files::certificates(CERTIFICATE, path)?.iter().map(Fingerprint::of));
        Ok(self)
    }

    /// Whether a certificate is trusted.
    pub fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.0.contains(fingerprint)
    }
}

impl Authorities {
    /// Reads the certificates of authorities from a PEM file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, holds no certificate, or one that is not of an authority.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        let fail = |reason: String| IdentityError::new(AUTHORITIES, path, reason);
        let mut roots = RootCertStore::empty();
        for certificate in files::certificates(AUTHORITIES, path)? {
            let leaf = PeerCertificate::of(&certificate).map_err(fail)?;
            if !leaf.is_authority {
                return Err(fail(format!("{} is not the certificate of an authority", leaf.subject)));
            }
            roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        }
        let roots = Arc::new(roots);
        let clients = verify_clients(&roots, provider()).map_err(|error| fail(error.to_string()))?;
        Ok(Self { roots, clients })
    }
}

fn verify_clients(
    roots: &Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, rustls::server::VerifierBuilderError> {
    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider).build()
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

impl From<&Self> for Trust {
    fn from(trust: &Self) -> Self {
        trust.clone()
    }
}

impl From<&Pins> for Trust {
    fn from(pins: &Pins) -> Self {
        Self::Pins(pins.clone())
    }
}
