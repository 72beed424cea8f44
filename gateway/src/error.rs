//! Every failure of a request, and its response. Only this module chooses a status for a failure.

mod body;

use http::StatusCode;

pub use body::{Body, Format};

/// The answer to a connection too many. There is no request yet that could be answered in another form.
pub(crate) const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 21\r\nRetry-After: 1\r\n\
    Connection: close\r\n\r\ntoo many connections\n";

/// Why a request was not proxied, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// The target or the host cannot be understood.
    BadRequest,
    /// An upstream that decodes or cuts off parts of the path would read a path of another route.
    AmbiguousPath,
    /// The method asks for a tunnel, which the gateway does not offer, or for an echo of the request, in which a
    /// client would see what the gateway adds for the upstream.
    MethodNotAllowed,
    /// The client sent nothing for too long in the middle of a body.
    RequestTimeout,
    /// The body has more bytes than a plugin allows.
    BodyTooLarge,
    /// The request target is too long.
    UriTooLong,
    /// Too many header fields, or too large a header.
    HeaderTooLarge,
    /// No configuration has been applied yet.
    NoConfiguration,
    /// No route matches.
    NoRoute,
    /// The route requires HTTPS and answers plaintext requests with this status: 426, or a redirect.
    HttpsRequired(u16),
    /// The route is for gRPC, which needs HTTP/2.
    Http2Required,
    /// The route is for gRPC, and the request is not.
    NotGrpc,
    /// The route is for gRPC over TLS.
    GrpcsRequired,
    /// The route has no service.
    NoService,
    /// The cap on requests in flight is reached.
    Overloaded,
    /// The upstream's name has no address.
    NameResolution,
    /// No target of the upstream is available.
    NoTarget,
    /// All targets of the upstream have as many requests as they may, and too many requests wait.
    UpstreamFull,
    /// The configuration of this node forbids every address of the upstream.
    UpstreamDenied,
    /// No address of the upstream accepts a connection.
    UpstreamConnect,
    /// The TLS handshake with the upstream failed.
    UpstreamTls,
    /// The upstream broke off, or did not answer in HTTP.
    UpstreamInvalid,
    /// The header of the upstream's response has too many fields or bytes.
    UpstreamHeaderTooLarge,
    /// The body of the upstream's answer has more bytes than a plugin can change.
    AnswerTooLarge,
    /// The upstream took too long to connect, to read or to answer.
    UpstreamTimeout,
    /// The client closed the connection; no response is sent.
    ClientClosed,
    /// A fault of the gateway.
    Internal,
}

/// The response to a failure.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status of the response; 499, which is never sent, when the client is gone.
    pub status: u16,
    /// The reason, for metrics and log.
    pub reason: &'static str,
    /// The message for the client.
    pub message: &'static str,
    /// The form of the body for a client that states no preference.
    pub format: Format,
}

impl Answer {
    /// The status, for a header.
    pub fn code(&self) -> StatusCode {
        status_of(self.status)
    }
}

/// A status for a header. A number that is none becomes 500.
pub fn status_of(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl RequestFailure {
    /// Every failure. The metrics begin each counter at 0, so that its first increase is visible.
    pub const ALL: [Self; 27] = [
        Self::BadRequest,
        Self::AmbiguousPath,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::HeaderTooLarge,
        Self::NoConfiguration,
        Self::NoRoute,
        Self::HttpsRequired(426),
        Self::Http2Required,
        Self::NotGrpc,
        Self::GrpcsRequired,
        Self::NoService,
        Self::Overloaded,
        Self::NameResolution,
        Self::NoTarget,
        Self::UpstreamFull,
        Self::UpstreamDenied,
        Self::UpstreamConnect,
        Self::UpstreamTls,
        Self::UpstreamInvalid,
        Self::UpstreamHeaderTooLarge,
        Self::AnswerTooLarge,
        Self::UpstreamTimeout,
        Self::ClientClosed,
        Self::Internal,
    ];

    /// Whether the client's body, and with it the place of its next request, cannot be trusted.
    pub fn is_of_body(self) -> bool {
        matches!(self, Self::BadRequest | Self::RequestTimeout | Self::BodyTooLarge)
    }

    /// Whether the request had been given to an upstream, which failed.
    pub fn is_of_upstream(self) -> bool {
        matches!(
            self,
            Self::UpstreamConnect
                | Self::UpstreamTls
                | Self::UpstreamInvalid
                | Self::UpstreamHeaderTooLarge
                | Self::AnswerTooLarge
                | Self::UpstreamTimeout
        )
    }

    /// Status, reason and message.
    pub fn answer(self) -> Answer {
        use Format::{Json, Text};
        let (status, reason, message, format) = match self {
            Self::BadRequest => (400, "bad_request", "Bad request", Text),
            Self::AmbiguousPath => (400, "ambiguous_path", "Ambiguous path", Text),
            Self::MethodNotAllowed => (405, "method_not_allowed", "Method not allowed", Text),
            Self::RequestTimeout => (408, "request_timeout", "Request timeout", Text),
            Self::BodyTooLarge => (413, "body_too_large", "Request size limit exceeded", Json),
            Self::UriTooLong => (414, "uri_too_long", "URI too long", Text),
            Self::HeaderTooLarge => (431, "header_too_large", "Request header or cookie too large", Text),
            // Kong answers 404 here. A node that has no routes yet must differ, for clients and health
            // checks, from a node that knows that the route does not exist.
            Self::NoConfiguration => (503, "no_configuration", "no configuration available yet", Json),
            Self::NoRoute => (404, "no_route", "no Route matched with those values", Json),
            Self::HttpsRequired(status) => (status, "https_required", "Please use HTTPS protocol", Json),
            Self::Http2Required => (426, "http2_required", "Please use HTTP2 protocol", Json),
            Self::NotGrpc => (415, "not_grpc", "Non-gRPC request matched gRPC route", Json),
            // gRPC reports a failure within a successful HTTP response.
            Self::GrpcsRequired => (200, "grpcs_required", "gRPC request matched gRPCs route", Json),
            Self::NoService => (503, "no_service", "no Service found with those values", Json),
            Self::Overloaded => (503, "overloaded", "too many requests in flight", Json),
            Self::NameResolution => (503, "name_resolution", "name resolution failed", Json),
            Self::NoTarget => (503, "no_target", NO_TARGET, Json),
            Self::UpstreamFull => (503, "upstream_full", "all targets are at their limit of requests", Json),
            Self::UpstreamDenied => (502, "upstream_denied", "upstream address not allowed", Json),
            Self::UpstreamConnect => (502, "upstream_connect", INVALID_RESPONSE, Text),
            Self::UpstreamTls => (502, "upstream_tls", INVALID_RESPONSE, Text),
            Self::UpstreamInvalid => (502, "upstream_invalid", INVALID_RESPONSE, Text),
            Self::UpstreamHeaderTooLarge => (502, "upstream_header_too_large", INVALID_RESPONSE, Text),
            Self::AnswerTooLarge => {
                (502, "answer_too_large", "upstream answer too large to be changed", Json)
            }
            Self::UpstreamTimeout => (504, "upstream_timeout", "The upstream server is timing out", Text),
            Self::ClientClosed => (499, "client_closed", "", Text),
            Self::Internal => (500, "internal", "An unexpected error occurred", Text),
        };
        Answer { status, reason, message, format }
    }
}

/// Kong's words: its clients look for them.
const NO_TARGET: &str = "failure to get a peer from the ring-balancer";
const INVALID_RESPONSE: &str = "An invalid response was received from the upstream server";
