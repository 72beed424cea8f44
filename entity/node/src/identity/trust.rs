//! The peers that a node trusts: holders of certain certificates, or of a certificate from an authority.

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

/// The peers that a node trusts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// `shared`: holders of one of these certificates.
    Pins(Pins),
    /// `pki`: holders of a certificate for their role from one of these authorities.
    Authorities(Authorities),
}

/// The trusted certificates, by fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeSet<Fingerprint>);

/// The trusted authorities: several, while one replaces another.
#[derive(Clone, Debug)]
pub struct Authorities {
    pub(super) roots: Arc<RootCertStore>,
    /// rustls offers the check of a client's chain only in this form.
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

impl Pins {
    /// Adds every certificate in a PEM file to the trusted ones.
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
    /// The file cannot be read, holds no certificate, or holds one that is not of an authority.
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

/// Trusts the holders of the same pair.
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
