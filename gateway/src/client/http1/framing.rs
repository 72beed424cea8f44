//! Where the body of a request ends (RFC 9112, section 6). A request that two readers might frame differently
//! is refused.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Version};

use crate::error::RequestFailure;
use crate::message::Framing;

/// Finds the framing of a request with `headers`.
///
/// # Errors
/// [`RequestFailure::BadRequest`] for a length that is not one number, also if it is the same number twice
/// (section 6.3 lets a recipient refuse that); for a coding that is not `chunked`, once (section 6.1: others
/// are not taken off here, and would be lost on the way); for a coding in HTTP/1.0 (section 6.1); for a coding
/// of a request that asks for an upgrade: the bytes of a tunnel would begin within the chunks.
pub(super) fn of_request(headers: &HeaderMap, version: Version) -> Result<Framing, RequestFailure> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), codings.next(), lengths.next(), lengths.next()) {
        (None, _, None, _) => Ok(Framing::Empty),
        (None, _, Some(length), None) => match parse(length.as_bytes()) {
            Some(0) => Ok(Framing::Empty),
            Some(length) => Ok(Framing::Length(length)),
            None => Err(RequestFailure::BadRequest),
        },
        // A length beside a coding does not count (section 6.3).
        (Some(coding), None, _, _)
            if coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && version == Version::HTTP_11
                && !headers.contains_key(UPGRADE) =>
        {
            Ok(Framing::Chunked)
        }
        _ => Err(RequestFailure::BadRequest),
    }
}

/// Parses digits; `None` for anything else, or for a number beyond 64 bits.
fn parse(length: &[u8]) -> Option<u64> {
    let digits = length.iter().all(u8::is_ascii_digit).then_some(length)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn unclear_framing_is_refused() {
        let (length, coding, upgrade) = (CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE);
        for (fields, framing) in [
            (&[][..], Some(Framing::Empty)),
            (&[(&length, "0")], Some(Framing::Empty)),
            (&[(&length, "005")], Some(Framing::Length(5))),
            (&[(&length, "18446744073709551615")], Some(Framing::Length(u64::MAX))),
            (&[(&length, "18446744073709551616")], None),
            (&[(&length, "5"), (&length, "5")], None),
            (&[(&length, "5, 5")], None),
            (&[(&length, "+5")], None),
            (&[(&length, "-5")], None),
            (&[(&length, "5 ")], None),
            (&[(&length, "0x5")], None),
            (&[(&length, "")], None),
            (&[(&coding, "chunked")], Some(Framing::Chunked)),
            (&[(&coding, "Chunked")], Some(Framing::Chunked)),
            (&[(&coding, "chunked"), (&length, "5")], Some(Framing::Chunked)),
            (&[(&coding, "gzip, chunked")], None),
            (&[(&coding, "chunked, gzip")], None),
            (&[(&coding, "identity"), (&length, "5")], None),
            (&[(&coding, "")], None),
            (&[(&coding, "chunked"), (&coding, "chunked")], None),
            (&[(&upgrade, "websocket")], Some(Framing::Empty)),
            (&[(&length, "5"), (&upgrade, "websocket")], Some(Framing::Length(5))),
            (&[(&coding, "chunked"), (&upgrade, "websocket")], None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(of_request(&headers, Version::HTTP_11).ok(), framing, "{fields:?}");
            let old = framing.filter(|framing| *framing != Framing::Chunked);
            assert_eq!(of_request(&headers, Version::HTTP_10).ok(), old, "{fields:?}");
        }
    }
}
