//! What is particular to gRPC: which requests are of it, and how their client is told of a failure. All else
//! is HTTP/2 with trailers.

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Version};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use crate::error::{Answer, RequestFailure};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const MEDIA_TYPE: &str = "application/grpc";

/// Whether a client of gRPC has sent this.
pub fn is_request(header: &RequestHeader) -> bool {
    header.version == Version::HTTP_2 && has_media_type(header)
}

/// Whether a route for gRPC takes a request, in the order in which Kong asks.
///
/// # Errors
/// [`RequestFailure::Http2Required`], [`RequestFailure::NotGrpc`], and [`RequestFailure::GrpcsRequired`] where it is `refused` for
/// want of TLS.
pub fn check(header: &RequestHeader, refused: bool) -> Result<(), RequestFailure> {
    if header.version != Version::HTTP_2 {
        Err(RequestFailure::Http2Required)
    } else if !has_media_type(header) {
        Err(RequestFailure::NotGrpc)
    } else if refused {
        Err(RequestFailure::GrpcsRequired)
    } else {
        Ok(())
    }
}

/// Makes `header` all that a client of gRPC is told of a failure. The status of HTTP stays, for whoever looks
/// at that alone.
///
/// # Errors
/// Never: the values are of the kind that fields have.
pub fn tell(header: &mut ResponseHeader, answer: &Answer) -> Result<()> {
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))?;
    header.insert_header(STATUS, HeaderValue::from(code(answer.status)))?;
    header.insert_header(MESSAGE, HeaderValue::from_static(answer.message))
}

/// Also with a suffix, such as `application/grpc+proto`; but not `application/grpc-web`, which is HTTP.
fn has_media_type(header: &RequestHeader) -> bool {
    let value = header.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = value
        .split_at_checked(MEDIA_TYPE.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()));
    rest.is_some_and(|(_, rest)| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The code of gRPC for a status of HTTP, as Kong has it.
fn code(status: u16) -> u16 {
    match status {
        // Only where gRPC was asked for without TLS: CANCELLED.
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
