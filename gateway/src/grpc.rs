//! Rules for gRPC: which requests are gRPC, and how a gRPC client learns of a failure. All else is HTTP/2
//! with trailers.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Version};

use crate::error::{Answer, RequestFailure};
use crate::names::{self, Name};

const MEDIA_TYPE: &str = "application/grpc";

/// Whether a gRPC client sent this request.
pub fn is_request(version: Version, fields: &HeaderMap) -> bool {
    version == Version::HTTP_2 && has_media_type(fields)
}

/// Checks whether a route for gRPC accepts a request, in Kong's order.
///
/// # Errors
/// [`RequestFailure::Http2Required`], [`RequestFailure::NotGrpc`], and [`RequestFailure::GrpcsRequired`]
/// where the request is `refused` because it came without TLS.
pub fn check(version: Version, fields: &HeaderMap, refused: bool) -> Result<(), RequestFailure> {
    if version != Version::HTTP_2 {
        Err(RequestFailure::Http2Required)
    } else if !has_media_type(fields) {
        Err(RequestFailure::NotGrpc)
    } else if refused {
        Err(RequestFailure::GrpcsRequired)
    } else {
        Ok(())
    }
}

/// The fields that tell a gRPC client of a failure. The HTTP status stays, for clients that look only at that.
pub fn outcome(answer: &Answer) -> Vec<(&'static Name, String)> {
    vec![
        (&names::CONTENT_TYPE, MEDIA_TYPE.to_owned()),
        (&names::GRPC_STATUS, code(answer.status).to_string()),
        (&names::GRPC_MESSAGE, answer.message.to_owned()),
    ]
}

/// Whether the media type is gRPC, also with a suffix, such as `application/grpc+proto`.
/// `application/grpc-web` is HTTP.
pub fn has_media_type(fields: &HeaderMap) -> bool {
    let value = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = value
        .split_at_checked(MEDIA_TYPE.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()));
    rest.is_some_and(|(_, rest)| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The gRPC code for an HTTP status, the same as Kong's.
fn code(status: u16) -> u16 {
    match status {
        // Only where gRPC was requested without TLS: CANCELLED.
        200 | 499 => 1,
        // INVALID_ARGUMENT
        400 => 3,
        // DEADLINE_EXCEEDED
        408 | 504 => 4,
        // NOT_FOUND
        404 => 5,
        // RESOURCE_EXHAUSTED
        413 | 414 | 429 | 431 => 8,
        // UNIMPLEMENTED
        405 | 501 => 12,
        // INTERNAL
        500 => 13,
        // UNAVAILABLE
        502 | 503 => 14,
        // UNKNOWN
        _ => 2,
    }
}
