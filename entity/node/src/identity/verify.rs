//! Verifies a peer's certificate, by the same rules on both sides.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{PeerCertificate, Role};
use super::trust::{Authorities, Pins, Trust};

/// Accepts a certificate that is trusted and valid at the moment of the handshake. A certificate from an
/// authority must also be for the role that the peer has at its end.
///
/// The certificate itself is no secret. rustls verifies the signature over the handshake, which proves that
/// the peer holds the key.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A certificate of one program, where the other program's is expected.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of the peer is not that of a {}: it is that of {of}", expected.in_words())]
pub(crate) struct WrongRole {
    expected: Role,
    of: String,
}

impl PeerVerifier {
    pub(super) fn new(trust: Trust, provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self { trust, algorithms: provider.signature_verification_algorithms })
    }

    fn check(
        &self,
        peer: Role,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let leaf = PeerCertificate::of(certificate).map_err(|_reason| CertificateError::BadEncoding)?;
        match &self.trust {
            Trust::Pins(pins) => check_pin(pins, &leaf, now)?,
            Trust::Authorities(authorities) => {
                self.check_chain(authorities, peer, certificate, intermediates, now)?;
                check_role(peer, &leaf)?;
            }
        }
        Ok(())
    }

    /// Verifies signatures, dates, and extended key usage (RFC 5280, section 4.2.1.12).
    fn check_chain(
        &self,
        authorities: &Authorities,
        peer: Role,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        match peer {
            Role::DataPlane => {
                authorities.clients.verify_client_cert(certificate, intermediates, now).map(drop)
            }
            // Host names are not checked: the role and the node id say more.
            Role::ControlPlane => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(certificate)?,
                &authorities.roots,
                intermediates,
                now,
                self.algorithms.all,
            ),
        }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

/// Dates are checked first: an operator who renews a pair too late reads the reason rather than "unknown".
fn check_pin(pins: &Pins, leaf: &PeerCertificate, now: UnixTime) -> Result<(), CertificateError> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > leaf.not_after {
        return Err(CertificateError::Expired);
    }
    if now < leaf.not_before {
        return Err(CertificateError::NotValidYet);
    }
    match pins.contains(&leaf.fingerprint) {
        true => Ok(()),
        false => Err(CertificateError::ApplicationVerificationFailure),
    }
}

fn check_role(expected: Role, leaf: &PeerCertificate) -> Result<(), CertificateError> {
    let of = match leaf.node {
        Some(node) if node.role == expected => return Ok(()),
        Some(node) => format!("the {} {}", node.role.in_words(), node.id),
        None => format!("no node ({})", leaf.subject),
    };
    Err(CertificateError::Other(OtherError(Arc::new(WrongRole { expected, of }))))
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(Role::ControlPlane, end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_spoken())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(Role::DataPlane, end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_spoken())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Never called, since both configurations are TLS 1.3 only.
fn not_spoken() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}
