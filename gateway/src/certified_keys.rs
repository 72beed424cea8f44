//! What is shown in a handshake: a certificate with its key, parsed when it comes and not when it is asked for.

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

impl CertifiedKeys {
    /// Parses both pairs of `certificate`.
    ///
    /// # Errors
    /// The field that is wrong, and what about it.
    pub fn parse(certificate: &wire::Certificate) -> Result<Self, (&'static str, CertifiedKeyError)> {
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

    /// All that may be shown, those of authorities between included.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.pairs.iter().flat_map(|pair| &pair.cert)
    }

    /// The first that a client can verify, by the signature schemes that it offers; if it can verify none, the
    /// first all the same: what is then missing rustls says (`handshake_failure`), and without any it would say
    /// that the client is not let in (`access_denied`).
    pub fn choose(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        self.pairs.iter().find(fits).or(self.pairs.first()).cloned()
    }
}
