//! Message framing, where Pingora does not check it. Rejects a request that two readers might frame
//! differently, and frames a response so that the client can tell where it ends.

use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use crate::error::RequestFailure;

/// Checks that the end of the request is unambiguous.
///
/// # Errors
/// [`RequestFailure::BadRequest`] for a length that is not one number, also if it is the same number twice (RFC 9112,
/// section 6.3, lets a recipient refuse that); for a coding that is not `chunked`, once (section 6.1: others are
/// not taken off here, and would be lost on the way); for a coding of a request that asks for an upgrade: the bytes
/// of a tunnel would begin within the chunks.
pub fn check(request: &RequestHeader) -> Result<(), RequestFailure> {
    let mut lengths = request.headers.get_all(CONTENT_LENGTH).iter();
    let length_is_clear = match (lengths.next(), lengths.next()) {
        (None, _) => true,
        (Some(length), None) => !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let mut codings = request.headers.get_all(TRANSFER_ENCODING).iter();
    let coding_is_known = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked") && !request.headers.contains_key(UPGRADE)
        }
        _ => false,
    };
    if length_is_clear && coding_is_known { Ok(()) } else { Err(RequestFailure::BadRequest) }
}

/// Frames the response so that the client can tell where it ends.
pub fn frame(session: &mut Session, response: &mut ResponseHeader) -> Result<()> {
    // The version is the sender's own, not that of the previous hop (RFC 9112, section 2.3).
    if response.version < Version::HTTP_11 {
        response.set_version(Version::HTTP_11);
    }
    if session.req_header().version < Version::HTTP_11 && response.remove_header(&TRANSFER_ENCODING).is_some()
    {
        // HTTP/1.0 knows no chunks: the body ends with the connection (section 6.1).
        session.set_keepalive(None);
    }
    if response.headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        // All are the same, or Pingora would have refused them; one is forwarded (section 6.3).
        let length = response.headers.get(CONTENT_LENGTH).cloned();
        if let Some(length) = length {
            response.insert_header(CONTENT_LENGTH, length)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unclear_framing_is_refused() {
        let (length, coding, upgrade) = ("Content-Length", "Transfer-Encoding", "Upgrade");
        for (fields, is_clear) in [
            (&[][..], true),
            (&[(length, "5")], true),
            (&[(length, "5"), (length, "5")], false),
            (&[(length, "+5")], false),
            (&[(length, "")], false),
            (&[(coding, "chunked")], true),
            (&[(coding, "Chunked")], true),
            (&[(coding, "gzip, chunked")], false),
            (&[(coding, "chunked"), (coding, "chunked")], false),
            (&[(upgrade, "websocket")], true),
            (&[(length, "5"), (upgrade, "websocket")], true),
            (&[(coding, "chunked"), (upgrade, "websocket")], false),
        ] {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            for (name, value) in fields {
                request.append_header(*name, *value).unwrap();
            }
            assert_eq!(check(&request).is_ok(), is_clear, "{fields:?}");
        }
    }
}
