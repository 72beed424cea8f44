//! Rules for gRPC: which requests are gRPC, and how a gRPC client learns of a failure. All else is HTTP/2
//! with trailers.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::error::{Answer, RequestFailure};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const MEDIA_TYPE: &str = "application/grpc";

/// Whether a gRPC client sent this request.
pub fn is_request(header: &RequestHeader) -> bool {
    header.version == Version::HTTP_2 && has_media_type(&header.headers)
}

/// Checks whether a route for gRPC accepts a request, in Kong's order.
///
/// # Errors
/// [`RequestFailure::Http2Required`], [`RequestFailure::NotGrpc`], and [`RequestFailure::GrpcsRequired`]
/// where the request is `refused` because it came without TLS.
pub fn check(header: &RequestHeader, refused: bool) -> Result<(), RequestFailure> {
    if header.version != Version::HTTP_2 {
        Err(RequestFailure::Http2Required)
    } else if !has_media_type(&header.headers) {
        Err(RequestFailure::NotGrpc)
    } else if refused {
        Err(RequestFailure::GrpcsRequired)
    } else {
        Ok(())
    }
}

/// Turns `header` into the whole gRPC response to a failure. The HTTP status stays, for clients that look
/// only at that.
///
/// # Errors
/// Never: the values are valid field values.
pub fn tell(header: &mut ResponseHeader, answer: &Answer) -> Result<()> {
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))?;
    header.insert_header(STATUS, HeaderValue::from(code(answer.status)))?;
    header.insert_header(MESSAGE, HeaderValue::from_static(answer.message))
}

/// Adds the fields that make an answer without a body the whole gRPC response to a failure.
pub fn write(fields: &mut HeaderMap, answer: &Answer) {
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    fields.insert(STATUS, HeaderValue::from(code(answer.status)));
    fields.insert(MESSAGE, HeaderValue::from_static(answer.message));
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
