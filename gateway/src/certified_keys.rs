//! Certificates with their keys for TLS handshakes, parsed when they are applied and not at each handshake.

use std::sync::Arc;

use node::certified_key::{self, CertifiedKeyError};
use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use uuid::Uuid;

/// One identity: a certificate, and perhaps a second one with a key of another type.
#[derive(Clone, Debug)]
pub struct CertifiedKeys {
    /// The certificate's id.
    pub id: Uuid,
    pairs: Vec<Arc<CertifiedKey>>,
}

/// Where handshakes look certificates up.
pub trait Certificates: std::fmt::Debug + Send + Sync {
    /// The certificate for a server name in lower case, with a key for one of the signature `schemes`.
    fn find(&self, server_name: &str, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>>;
}

impl CertifiedKeys {
    /// Parses both pairs of `certificate`.
    ///
    /// # Errors
    /// The invalid field, and the reason.
    pub fn parse(certificate: &model::Certificate) -> Result<Self, (&'static str, CertifiedKeyError)> {
        let first = certified_key::parse(&certificate.cert, certificate.key.expose())
            .map_err(|error| ("cert", error))?;
        let second = match (&certificate.cert_alt, &certificate.key_alt) {
            (Some(cert), Some(key)) => {
                Some(certified_key::parse(cert, key.expose()).map_err(|error| ("cert_alt", error))?)
            }
            _ => None,
        };
        let pairs = std::iter::once(first).chain(second).map(Arc::new).collect();
        Ok(Self { id: certificate.id, pairs })
    }

    /// All certificates that may be shown, including intermediates.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.pairs.iter().flat_map(|pair| &pair.cert)
    }

    /// Chooses the first certificate that a client can verify, by the signature schemes that it offers. If
    /// the client can verify none, returns the first all the same: rustls then sends `handshake_failure`.
    /// Without any certificate rustls would send `access_denied`.
    pub fn choose(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        self.pairs.iter().find(fits).or(self.pairs.first()).cloned()
    }
}
