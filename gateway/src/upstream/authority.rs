//! The certificate authorities that verify upstreams.

use std::fmt;

use model::CaCertificate;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use uuid::Uuid;
use wire::Key;

/// A CA certificate, parsed.
#[derive(Clone, Debug)]
pub struct Authority {
    id: Uuid,
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

/// Why TLS with a certificate is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Unusable {
    /// The certificate with the problem.
    pub key: Key,
    /// The field with the problem.
    pub field: &'static str,
    /// The problem.
    pub message: String,
}

impl Authority {
    /// Parses `authority`.
    ///
    /// # Errors
    /// When a handshake could not use it.
    pub fn parse(authority: &CaCertificate) -> Result<Self, Unusable> {
        let unusable = |why: &dyn fmt::Display| Unusable {
            key: CaCertificate::key(authority.id),
            field: "cert",
            message: format!("invalid certificate: {why}"),
        };
        let certificates =
            CertificateDer::pem_slice_iter(authority.cert.as_bytes()).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| unusable(&error))?;
        if certificates.is_empty() {
            return Err(unusable(&"none in PEM"));
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(|error| unusable(&error))?;
        }
        Ok(Self { id: authority.id, certificates, anchors: roots.roots })
    }

    /// The id of the CA certificate.
    pub fn id(&self) -> &Uuid {
        &self.id
    }

    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_certificate_are_refused() {
        for garbage in ["", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"] {
            let bad = CaCertificate { cert: garbage.into(), ..CaCertificate::default() };
            let unusable = Authority::parse(&bad).unwrap_err();
            assert_eq!((unusable.key, unusable.field), (CaCertificate::key(bad.id), "cert"));
        }
    }
}
