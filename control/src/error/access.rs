//! The reasons for rejecting a request to the Admin API before its body is read.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::message;

/// The reason for rejecting a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessError {
    /// `Host` is missing, repeated or invalid.
    BadHost,
    /// `Host` is no name of this listener.
    UnknownHost,
    /// A web page of another origin sent the request.
    ForeignOrigin,
    /// The request has no token and no certificate.
    NoCredential,
    /// The request has an invalid token or certificate.
    BadCredential,
    /// The token allows reads only.
    ReadOnly,
}

impl AccessError {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::BadHost,
        Self::UnknownHost,
        Self::ForeignOrigin,
        Self::NoCredential,
        Self::BadCredential,
        Self::ReadOnly,
    ];

    /// Returns the label in metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadHost => "bad_host",
            Self::UnknownHost => "unknown_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::NoCredential => "no_credential",
            Self::BadCredential => "bad_credential",
            Self::ReadOnly => "read_only",
        }
    }

    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadHost => (
                StatusCode::BAD_REQUEST,
                "A request has one Host, which is host or host:port, and that of an absolute target is the same",
            ),
            Self::UnknownHost => (
                StatusCode::FORBIDDEN,
                "This Host is not known here: use localhost or the address, or name it in admin.allowed_hosts",
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "Web pages of this origin may not use the Admin API: name the origin in admin.allowed_origins",
            ),
            Self::NoCredential => (
                StatusCode::UNAUTHORIZED,
                "A token is needed, as Authorization: Bearer or Kong-Admin-Token, or a client certificate",
            ),
            Self::BadCredential => (StatusCode::UNAUTHORIZED, "The token or certificate is not valid"),
            Self::ReadOnly => (StatusCode::FORBIDDEN, "The role of this token is read: it may not write"),
        }
    }
}

impl IntoResponse for AccessError {
    fn into_response(self) -> Response {
        let (status, text) = self.answer();
        let mut response = (status, message(text)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"gibbon\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
