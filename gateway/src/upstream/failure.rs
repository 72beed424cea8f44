//! Why an exchange with an upstream fails.

use std::fmt::Display;
use std::io;

use crate::error::RequestFailure;

/// Why an exchange with an upstream failed. The texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamFailure {
    /// No address accepts a connection. Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(Box<str>),
    /// No connection within the service's timeout. Nothing was sent.
    #[error("no connection within the connect timeout")]
    ConnectTimedOut,
    /// The TLS handshake failed. Nothing was sent.
    #[error("the TLS handshake failed: {0}")]
    Tls(Box<str>),
    /// The upstream neither took nor sent a byte within the service's timeout.
    #[error("nothing came within the {0} timeout")]
    TimedOut(Direction),
    /// The answer breaks the rules of HTTP.
    #[error("invalid answer: {0}")]
    Invalid(Box<str>),
    /// The header of the answer has too many bytes or fields.
    #[error("the header of the answer is too large")]
    HeaderTooLarge,
    /// The connection ended before the header of the answer was complete.
    #[error("the connection ended before the answer: {cause}")]
    Closed {
        /// Whether not a byte of an answer came. On a reused connection, the upstream may have closed it
        /// before the request came.
        nothing_came: bool,
        /// How it ended.
        cause: Box<str>,
    },
    /// The connection or the stream ended within the answer.
    #[error("the answer broke off: {0}")]
    Broken(Box<str>),
    /// An upstream of HTTP/2 says that it did not process the request (RFC 9113, section 8.7).
    #[error("the upstream did not process the request: {0}")]
    NotProcessed(Box<str>),
    /// The answer has a status for which the upstream wants another attempt.
    #[error("the answer has the status {0}, and another attempt is wanted")]
    Status(u16),
    /// The body of the request is longer or shorter than its header says.
    #[error("the body of the request has another length than its header says")]
    WrongLength,
}

/// The direction that was awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The upstream was to send bytes.
    Read,
    /// The upstream was to take bytes.
    Write,
}

impl UpstreamFailure {
    /// Whether the upstream cannot have seen the request: any request may be sent again.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::ConnectTimedOut | Self::Tls(_) | Self::NotProcessed(_))
    }

    /// Whether the connection ended without a byte of an answer. If it was reused, an idempotent request may
    /// be sent again.
    pub fn is_silent_end(&self) -> bool {
        matches!(self, Self::Closed { nothing_came: true, .. })
    }

    pub(super) fn invalid(why: impl Display) -> Self {
        Self::Invalid(text(why))
    }

    pub(super) fn closed(nothing_came: bool, cause: impl Display) -> Self {
        Self::Closed { nothing_came, cause: text(cause) }
    }

    pub(super) fn broken(cause: impl Display) -> Self {
        Self::Broken(text(cause))
    }

    pub(super) fn connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::ConnectTimedOut,
            _ => Self::Connect(text(error)),
        }
    }

    pub(super) fn connect_http2(error: impl Display) -> Self {
        Self::Connect(text(error))
    }

    pub(super) fn tls(error: impl Display) -> Self {
        Self::Tls(text(error))
    }
}

impl From<&UpstreamFailure> for RequestFailure {
    fn from(failure: &UpstreamFailure) -> Self {
        use UpstreamFailure as F;
        match failure {
            F::Connect(_) => Self::UpstreamConnect,
            F::Tls(_) => Self::UpstreamTls,
            F::ConnectTimedOut | F::TimedOut(_) => Self::UpstreamTimeout,
            F::HeaderTooLarge => Self::UpstreamHeaderTooLarge,
            F::WrongLength => Self::BadRequest,
            F::Invalid(_) | F::Closed { .. } | F::Broken(_) | F::NotProcessed(_) | F::Status(_) => {
                Self::UpstreamInvalid
            }
        }
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

pub(super) fn text(cause: impl Display) -> Box<str> {
    /// Texts of libraries may quote what an upstream sent.
    const LONGEST: usize = 256;
    let text = cause.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}
