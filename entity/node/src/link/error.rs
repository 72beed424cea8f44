//! Why a link could not be opened, or ended.

use std::io;

use rustls::{AlertDescription, CertificateError};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use crate::identity::WrongRole;

/// Why a link could not be opened, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection cannot be opened, or its options cannot be set.
    #[error("cannot connect: {0}")]
    Tcp(#[source] io::Error),
    /// The TLS handshake failed: one side does not trust the other, or the peer has another protocol.
    #[error("{}", explain(.0))]
    Tls(#[source] rustls::Error),
    /// The peer answers, but is not a control plane, or requests an unknown path.
    #[error("the upgrade to a WebSocket was refused with status {0}")]
    Refused(u16),
    /// The peer breaks the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(String),
    /// The peer is gone without a close.
    #[error("the connection is lost: {0}")]
    Lost(#[source] io::Error),
    /// The peer exceeded a timeout.
    #[error("the peer did not answer in time")]
    Timeout,
    /// The address is not `host:port`.
    #[error("the address is not of the form host:port")]
    Address,
}

impl LinkError {
    /// Every value of [`LinkError::reason`].
    pub const REASONS: [&'static str; 13] = [
        "tcp",
        "no_certificate",
        "expired_certificate",
        "certificate_not_yet_valid",
        "unknown_certificate",
        "wrong_role",
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
            Self::Tls(rustls::Error::InvalidCertificate(error)) => Fault::of(error).as_str(),
            Self::Tls(rustls::Error::PeerIncompatible(_)) => "tls_version",
            Self::Tls(_) => "tls",
            Self::Refused(_) => "path",
            Self::Protocol(_) => "protocol",
            Self::Lost(_) => "lost",
            Self::Timeout => "timeout",
            Self::Address => "address",
        }
    }

    /// The error for a failure during the TLS handshake.
    pub(super) fn from_tls(error: io::Error) -> Self {
        as_tls(&error).map_or_else(|| Self::Lost(error), Self::Tls)
    }

    /// The error for a failure during the WebSocket handshake or later.
    pub(super) fn from_websocket(error: WsError) -> Self {
        match error {
            // In TLS 1.3 a client learns only here that the server has refused its certificate.
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

/// The fault of a certificate. rustls has several variants for one fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Expired,
    NotValidYet,
    WrongRole,
    Unknown,
}

impl Fault {
    fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongRole
            }
            CertificateError::Other(other) if other.0.is::<WrongRole>() => Self::WrongRole,
            _ => Self::Unknown,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired_certificate",
            Self::NotValidYet => "certificate_not_yet_valid",
            Self::WrongRole => "wrong_role",
            Self::Unknown => "unknown_certificate",
        }
    }
}

/// Explains an error in the words of the operator who must act.
fn explain(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, NoCertificatesPresented};
    let known = match error {
        NoCertificatesPresented => "the peer presents no certificate",
        InvalidCertificate(error) => return explain_certificate(error),
        AlertReceived(alert) => match explain_alert(*alert) {
            Some(known) => known,
            None => return format!("the TLS handshake failed: {error}"),
        },
        _ => return format!("the TLS handshake failed: {error}"),
    };
    known.to_owned()
}

fn explain_certificate(error: &CertificateError) -> String {
    let known = match (Fault::of(error), error) {
        (Fault::Expired, _) => "the certificate of the peer has expired",
        (Fault::NotValidYet, _) => "the certificate of the peer is not valid yet: is a clock wrong?",
        (Fault::WrongRole, CertificateError::Other(other)) => return other.to_string(),
        (Fault::WrongRole, _) => "the certificate of the peer is not made for its end of the connection",
        (Fault::Unknown, CertificateError::ApplicationVerificationFailure) => {
            "the certificate of the peer is not one that this node trusts: do both have the same pair?"
        }
        (Fault::Unknown, CertificateError::UnknownIssuer) => {
            "the certificate of the peer is not from an authority that this node trusts: is cluster.ca right?"
        }
        (Fault::Unknown, _) => return format!("the TLS handshake failed: {error}"),
    };
    known.to_owned()
}

/// The peer's objection to this node's certificate. rustls gives only the kind of alert.
const fn explain_alert(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateExpired => {
            "the peer refuses this node's certificate: it has expired or is not valid yet"
        }
        AlertDescription::AccessDenied => {
            "the peer refuses this node's certificate: do both have the same pair?"
        }
        AlertDescription::UnknownCA => {
            "the peer refuses this node's certificate: it is not from an authority that the peer trusts"
        }
        AlertDescription::CertificateUnknown | AlertDescription::UnsupportedCertificate => {
            "the peer refuses this node's certificate: it is not made for this end of the connection"
        }
        AlertDescription::CertificateRequired => "the peer asks for a certificate",
        _ => return None,
    })
}
