//! Verifies the certificate of an upstream by the authorities that its service names. rustls has no setting
//! for two cases: the depth of the chain, and an upstream whose own certificate is the named authority.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

/// Verifies like rustls, with two additions.
///
/// With a depth, there must be a chain with no more than that many certificates between the upstream's and an
/// authority's. OpenSSL, and so Kong, gives depth this meaning.
///
/// A certificate that is byte for byte a named authority is accepted as the upstream's own, like in OpenSSL.
/// `openssl req -x509` makes such certificates, and webpki refuses them.
#[derive(Debug)]
pub(super) struct UpstreamVerifier {
    roots: Arc<RootCertStore>,
    authorities: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    most: Option<usize>,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no chain to an authority with at most {0} certificates between")]
struct TooDeep(usize);

impl UpstreamVerifier {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        authorities: Vec<CertificateDer<'static>>,
        provider: &CryptoProvider,
        depth: Option<u8>,
    ) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { roots, authorities, algorithms, most: depth.map(usize::from) }
    }

    /// Looks for a short chain among all: the first one found need not be the shortest.
    fn has_chain(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
        most: usize,
    ) -> bool {
        let is_short = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() {
            count if count <= most => Ok(()),
            _ => Err(webpki::Error::MaximumPathDepthExceeded),
        };
        EndEntityCert::try_from(end).is_ok_and(|end| {
            let (algorithms, roots) = (self.algorithms.all, &self.roots.roots);
            let usage = KeyUsage::server_auth();
            end.verify_for_usage(algorithms, roots, between, now, usage, None, Some(&is_short)).is_ok()
        })
    }
}

impl ServerCertVerifier for UpstreamVerifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end)?;
        let signed = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            between,
            now,
            self.algorithms.all,
        );
        match signed {
            // webpki checks the dates before it returns this error.
            Err(error) if is_authority_as_end(&error) && self.authorities.contains(end) => {
                verify_server_name(&parsed, name)?;
                return Ok(ServerCertVerified::assertion());
            }
            signed => signed?,
        }
        verify_server_name(&parsed, name)?;
        match self.most {
            Some(most) if !self.has_chain(end, between, now, most) => {
                Err(CertificateError::Other(OtherError(Arc::new(TooDeep(most)))).into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the certificate is refused only because it is an authority's.
fn is_authority_as_end(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(reason))) = error else { return false };
    matches!(reason.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}
