//! How long the chain of an upstream's certificate may be, which rustls has no setting for.

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

/// Verifies as rustls does, and that there is a chain with no more than so many certificates between that of the
/// upstream and that of an authority: what OpenSSL, and so Kong, means by the depth.
#[derive(Debug)]
pub(super) struct DepthLimit {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    most: usize,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no chain to an authority with at most {0} certificates between")]
struct TooDeep(usize);

impl DepthLimit {
    pub(super) fn new(roots: Arc<RootCertStore>, provider: &CryptoProvider, depth: u8) -> Self {
        Self { roots, algorithms: provider.signature_verification_algorithms, most: depth.into() }
    }

    /// It is looked for among all chains: the one that was found first need not be the shortest.
    fn has_chain(&self, end: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let is_short = |path: &VerifiedPath<'_>| match path.intermediate_certificates().count() {
            count if count <= self.most => Ok(()),
            _ => Err(webpki::Error::MaximumPathDepthExceeded),
        };
        EndEntityCert::try_from(end).is_ok_and(|end| {
            let (algorithms, roots) = (self.algorithms.all, &self.roots.roots);
            let usage = KeyUsage::server_auth();
            end.verify_for_usage(algorithms, roots, between, now, usage, None, Some(&is_short)).is_ok()
        })
    }
}

impl ServerCertVerifier for DepthLimit {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, between, now, self.algorithms.all)?;
        verify_server_name(&parsed, name)?;
        if self.has_chain(end, between, now) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::Other(OtherError(Arc::new(TooDeep(self.most)))).into())
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
