//! Why a link could not be made, or ended.

use std::io;

use rustls::{AlertDescription, CertificateError};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;

/// Why a link could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection cannot be made, or its options not set.
    #[error("cannot connect: {0}")]
    Tcp(#[source] io::Error),
    /// The handshake of TLS failed: one side does not trust the other, or the peer speaks something else.
    #[error("{}", explain(.0))]
    Tls(#[source] rustls::Error),
    /// The peer answers, but is not a control plane, or asks for what is not there.
    #[error("the upgrade to a WebSocket was refused with status {0}")]
    Refused(u16),
    /// The peer is at the right place but does not keep to the rules.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The peer is gone without a close.
    #[error("the connection is lost: {0}")]
    Lost(#[source] io::Error),
    /// The peer takes too long.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The address is no `host:port`.
    #[error("the address is not of the form host:port")]
    Address,
}

impl LinkError {
    /// Every word of [`LinkError::reason`].
    pub const REASONS: [&'static str; 12] = [
        "tcp",
        "no_certificate",
        "expired_certificate",
        "certificate_not_yet_valid",
        "unknown_certificate",
        "tls_version",
        "tls",
        "path",
        "protocol",
        "lost",
        "timeout",
        "address",
    ];

    /// The error as the label of a metric: one of a few words.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Tls(rustls::Error::NoCertificatesPresented) => "no_certificate",
            Self::Tls(rustls::Error::InvalidCertificate(error)) => match error {
                CertificateError::Expired => "expired_certificate",
                CertificateError::NotValidYet => "certificate_not_yet_valid",
                _ => "unknown_certificate",
            },
            Self::Tls(rustls::Error::PeerIncompatible(_)) => "tls_version",
            Self::Tls(_) => "tls",
            Self::Refused(_) => "path",
            Self::Protocol(_) => "protocol",
            Self::Lost(_) => "lost",
            Self::Timeout => "timeout",
            Self::Address => "address",
        }
    }

    /// What happened during the handshake of TLS.
    pub(super) fn from_tls(error: io::Error) -> Self {
        as_tls(&error).map_or_else(|| Self::Lost(error), Self::Tls)
    }

    /// What happened during the handshake of WebSocket or later.
    pub(super) fn from_websocket(error: WsError) -> Self {
        match error {
            // In TLS 1.3 a client learns only here that the server refused its certificate.
            WsError::Io(error) => Self::from_tls(error),
            WsError::Http(response) => Self::Refused(response.status().as_u16()),
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake
                | ProtocolError::SendAfterClosing
                | ProtocolError::HandshakeIncomplete,
            ) => Self::Lost(io::ErrorKind::UnexpectedEof.into()),
            error => Self::Protocol(error.to_string()),
        }
    }
}

fn as_tls(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref().cloned()
}

/// In the words of who has to do something about it.
fn explain(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented};
    let known = match error {
        NoCertificatesPresented => "the peer presents no certificate",
        InvalidCertificate(CertificateError::Expired) => "the certificate of the peer has expired",
        InvalidCertificate(CertificateError::NotValidYet) => {
            "the certificate of the peer is not valid yet: is a clock wrong?"
        }
        InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
            "the certificate of the peer is not one that this node trusts: do both have the same pair?"
        }
        AlertReceived(AlertDescription::CertificateExpired) => {
            "the peer refuses this node's certificate: it has expired or is not valid yet"
        }
        AlertReceived(AlertDescription::AccessDenied) => {
            "the peer refuses this node's certificate: do both have the same pair?"
        }
        AlertReceived(AlertDescription::CertificateRequired) => "the peer asks for a certificate",
        _ => return format!("the TLS handshake failed: {error}"),
    };
    known.to_owned()
}
