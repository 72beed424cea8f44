//! Rules for gRPC: which requests are gRPC, and how a gRPC client learns of a failure. All else is HTTP/2
//! with trailers.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Version};

use crate::error::RequestFailure;
use crate::message::FieldName;
use crate::names;

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

/// The fields that tell a gRPC client of a failure of the gateway. The HTTP status stays, for clients that look
/// only at that.
pub fn failure(status: u16, message: &str) -> Vec<(FieldName, HeaderValue)> {
    let code = match status {
        // The only failure with 200 is a call without TLS where TLS is required: CANCELLED.
        200 => 1,
        // UNAVAILABLE: clients try such calls again. Kong says INTERNAL.
        502 => 14,
        status => code(status),
    };
    fields(code, message)
}

/// The fields that tell a gRPC client of an answer of a plugin.
pub fn outcome(status: u16, message: &str) -> Vec<(FieldName, HeaderValue)> {
    fields(code(status), message)
}

fn fields(code: u16, message: &str) -> Vec<(FieldName, HeaderValue)> {
    let message = HeaderValue::try_from(percent_encoded(message)).ok();
    let message = message.map(|message| ((&names::GRPC_MESSAGE).into(), message));
    let known = [
        ((&names::CONTENT_TYPE).into(), HeaderValue::from_static(MEDIA_TYPE)),
        ((&names::GRPC_STATUS).into(), HeaderValue::from(code)),
    ];
    known.into_iter().chain(message).collect()
}

/// A message in the form of gRPC: what is not printable ASCII, and the percent sign, is encoded.
fn percent_encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | 0..=31 | 127.. => text.push_str(&format!("%{byte:02X}")),
            printable => text.push(printable.into()),
        }
    }
    text
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
        // OK
        200 => 0,
        // CANCELLED
        499 => 1,
        // DEADLINE_EXCEEDED
        504 => 4,
        // NOT_FOUND
        404 => 5,
        // ALREADY_EXISTS
        409 => 6,
        // PERMISSION_DENIED
        403 => 7,
        // RESOURCE_EXHAUSTED
        429 => 8,
        // UNIMPLEMENTED
        501 => 12,
        // UNAVAILABLE
        503 => 14,
        // UNAUTHENTICATED
        401 => 16,
        // INVALID_ARGUMENT
        400..=499 => 3,
        // INTERNAL
        500..=599 => 13,
        // UNKNOWN
        _ => 2,
    }
}
