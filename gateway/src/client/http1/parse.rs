//! Makes a request of the text of a complete header.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use memchr::memchr;
use smallvec::SmallVec;

use super::request_line::RequestLine;
use super::{absolute, framing};
use crate::client::request::LateFields;
use crate::client::{HeaderLimits, Request};
use crate::error::RequestFailure;
use crate::message::TextFields;

/// A request, and what its client says about the connection.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) request: Request,
    /// Whether the connection may serve another request.
    pub(super) keep_alive: bool,
}

type Fields<'t> = SmallVec<[(&'t str, &'t [u8]); 16]>;

/// Parses `head`, a complete header that begins with `line`.
///
/// # Errors
/// [`RequestFailure::HeaderTooLarge`] for too many or too large fields, [`RequestFailure::BadRequest`] for all
/// else that is wrong.
pub(super) fn parse(
    mut head: Bytes,
    mut line: RequestLine,
    limits: &HeaderLimits,
) -> Result<Parsed, RequestFailure> {
    let header_bytes = head.len() as u64;
    if let Some(rewritten) = absolute::to_origin_form(&head, &line)? {
        head = rewritten.into();
        let end = memchr(b'\n', &head).unwrap_or(head.len());
        line = RequestLine::parse(&head[..end], usize::MAX)?;
    }
    let mut fields = split(&head)?;
    if limits.exceeded(fields.iter().map(|(name, value)| (name.len(), value.len()))) {
        return Err(RequestFailure::HeaderTooLarge);
    }
    let mut headers = map(&head, &fields)?;
    let authority = authority(&head, &fields, line.version)?;
    let framing = framing::of_request(&headers, line.version)?;
    // Who frames a request twice may want to smuggle another: its connection ends (RFC 9112, section 6.1).
    let framed_twice = headers.contains_key(TRANSFER_ENCODING) && headers.remove(CONTENT_LENGTH).is_some();
    if framed_twice {
        fields.retain(|(name, _)| !name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()));
    }
    let keep_alive = keeps_alive(&headers, line.version) && !framed_twice;
    let text = TextFields::new(head.clone(), fields.into_iter());
    let RequestLine { method, target, version } = line;
    let target = head.slice(target);
    let is_head = method == Method::HEAD;
    let request = Request {
        method,
        is_head,
        version,
        target,
        authority,
        headers,
        text: Some(text),
        late: LateFields::default(),
        is_free_of_claims: false,
        framing,
        header_bytes,
    };
    Ok(Parsed { request, keep_alive })
}

/// Splits the lines behind the first one of `head`, up to the empty one, into names and values. A line without
/// a colon is no field, and a name with a blank is none: neither before the colon, nor at the begin of a line
/// that continues another (RFC 9112, section 5).
fn split(head: &[u8]) -> Result<Fields<'_>, RequestFailure> {
    let mut fields = Fields::new();
    let mut rest = memchr(b'\n', head).and_then(|end| head.get(end + 1..)).unwrap_or_default();
    while let Some(end) = memchr(b'\n', rest) {
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = memchr(b':', line).ok_or(RequestFailure::BadRequest)?;
        // The type of names allows a quotation mark, which no token has.
        if line[..colon].contains(&b'"') {
            return Err(RequestFailure::BadRequest);
        }
        let name = std::str::from_utf8(&line[..colon]).map_err(|_| RequestFailure::BadRequest)?;
        fields.push((name, trim(&line[colon + 1..])));
        rest = &rest[end + 1..];
    }
    Ok(fields)
}

/// Takes blanks and tabs off both ends.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The map of `fields`, which lie in `head`. Their names and values are checked by their types.
fn map(head: &Bytes, fields: &Fields<'_>) -> Result<HeaderMap, RequestFailure> {
    /// Fields that plugins usually add. Without room for them, the map would be copied to a larger one.
    const ADDED: usize = 4;
    let mut headers = HeaderMap::with_capacity(fields.len() + ADDED);
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| RequestFailure::BadRequest)?;
        let value =
            HeaderValue::from_maybe_shared(head.slice_ref(value)).map_err(|_| RequestFailure::BadRequest)?;
        headers.try_append(name, value).map_err(|_| RequestFailure::HeaderTooLarge)?;
    }
    Ok(headers)
}

/// The only `Host`, which HTTP/1.1 requires (RFC 9112, section 3.2).
fn authority(head: &Bytes, fields: &Fields<'_>, version: Version) -> Result<Option<Bytes>, RequestFailure> {
    let mut hosts = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str()));
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(None),
        (Some((_, host)), None) => Ok(Some(head.slice_ref(host))),
        _ => Err(RequestFailure::BadRequest),
    }
}

/// Whether a client that sends `headers` keeps its connection open (RFC 9112, section 9.3).
fn keeps_alive(headers: &HeaderMap, version: Version) -> bool {
    let options = || {
        let lists = headers.get_all(CONNECTION).iter();
        lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
    };
    let has = |option: &[u8]| options().any(|other| other.eq_ignore_ascii_case(option));
    !has(b"close") && (version == Version::HTTP_11 || has(b"keep-alive"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::super::head::Head;
    use super::*;
    use crate::message::Framing;

    const LIMITS: HeaderLimits =
        HeaderLimits { time: Duration::from_secs(10), target_bytes: 100, bytes: 200, fields: 5 };

    fn read(head: &[u8]) -> Result<Parsed, RequestFailure> {
        let complete = Head::default().find(head, &LIMITS)?.expect("a whole header");
        assert_eq!(complete.length, head.len());
        parse(Bytes::copy_from_slice(head), complete.line, &LIMITS)
    }

    fn texts(parsed: &Parsed) -> Vec<String> {
        let fields = parsed.request.text.as_ref().unwrap().iter();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.map(|(name, value)| format!("{}={}", text(name), text(value))).collect()
    }

    #[test]
    fn a_request_has_what_was_sent() {
        let sent =
            b"POST /\xff?q=\"<>` HTTP/1.1\r\nhOST: H:80\r\nContent-Length: 5\r\nX-A:\t b c \t\nEmpty:\r\n\
            X-a: \xfc\r\n\r\n";
        let parsed = read(sent).unwrap();
        assert_eq!(texts(&parsed), ["hOST=H:80", "Content-Length=5", "X-A=b c", "Empty=", "X-a=\u{fffd}"]);
        let request = parsed.request;
        assert_eq!((&request.method, request.version), (&Method::POST, Version::HTTP_11));
        assert_eq!(request.target, &b"/\xff?q=\"<>`"[..]);
        assert_eq!(request.authority.as_deref(), Some(&b"H:80"[..]));
        assert_eq!(request.framing, Framing::Length(5));
        assert_eq!(request.headers().get_all("x-a").iter().count(), 2);
        assert_eq!(request.headers()["x-a"], "b c");
        assert!(parsed.keep_alive);
    }

    #[test]
    fn the_absolute_form_names_the_host() {
        let parsed = read(b"GET http://H:80/\xff?q HTTP/1.1\r\nA: b\r\nhost: other\r\n\r\n").unwrap();
        assert_eq!(texts(&parsed), ["Host=H:80", "A=b"]);
        assert_eq!(parsed.request.target, &b"/\xff?q"[..]);
        assert_eq!(parsed.request.authority.as_deref(), Some(&b"H:80"[..]));
        assert_eq!(parsed.request.headers()["host"], "H:80");
    }

    #[test]
    fn a_host_is_required_once() {
        for (fields, version, authority) in [
            ("Host: h\r\n", "1.1", Ok(Some("h"))),
            ("Host:\r\n", "1.1", Ok(Some(""))),
            ("Host: a/b\r\n", "1.1", Ok(Some("a/b"))),
            ("", "1.0", Ok(None)),
            ("Host: h\r\n", "1.0", Ok(Some("h"))),
            ("", "1.1", Err(RequestFailure::BadRequest)),
            ("Host: h\r\nhost: h\r\n", "1.1", Err(RequestFailure::BadRequest)),
            ("Host: h\r\nhost: h\r\n", "1.0", Err(RequestFailure::BadRequest)),
        ] {
            let read = read(format!("GET / HTTP/{version}\r\n{fields}\r\n").as_bytes());
            let read = read.map(|parsed| parsed.request.authority);
            assert_eq!(
                read,
                authority.map(|text| text.map(|text| Bytes::from_static(text.as_bytes()))),
                "{fields}"
            );
        }
    }

    #[test]
    fn wrong_fields_are_refused() {
        for field in [
            &b"A"[..],
            b": b",
            b"A : b",
            b" A: b",
            b"A: b\r\n c",
            b"A: b\r\n\tc",
            b"A: b\rc",
            b"A: b\r",
            b"A: b\0c",
            b"A: b\x7fc",
            b"A(: b",
            b"\xc3\xa4: b",
            b"\r",
        ] {
            let head = [b"GET / HTTP/1.1\r\nHost: h\r\n", field, b"\r\n\r\n"].concat();
            assert_eq!(read(&head).unwrap_err(), RequestFailure::BadRequest, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn fields_have_a_number_and_a_size() {
        let with = |fields: String| read(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
        assert!(with("A: b\r\n".repeat(4)).is_ok());
        assert_eq!(with("A: b\r\n".repeat(5)).unwrap_err(), RequestFailure::HeaderTooLarge);
        // With the 9 bytes of the host.
        assert!(with(format!("A: {}\r\n", "x".repeat(186))).is_ok());
        let large = with(format!("A: {}\r\n", "x".repeat(187)));
        assert_eq!(large.unwrap_err(), RequestFailure::HeaderTooLarge);
    }

    #[test]
    fn a_request_that_is_framed_twice_ends_its_connection() {
        let fields = "Host: h\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n";
        let parsed = read(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
        assert_eq!(texts(&parsed), ["Host=h", "Transfer-Encoding=chunked"]);
        assert!(!parsed.request.headers().contains_key(CONTENT_LENGTH));
        assert_eq!((parsed.request.framing, parsed.keep_alive), (Framing::Chunked, false));
    }

    #[test]
    fn the_client_decides_on_its_connection() {
        for (version, connection, kept) in [
            ("1.1", "", true),
            ("1.1", "Connection: keep-alive\r\n", true),
            ("1.1", "Connection: Close\r\n", false),
            ("1.1", "Connection: x, close\r\n", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
            ("1.1", "Connection: closed\r\n", true),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{connection}\r\n");
            assert_eq!(read(head.as_bytes()).unwrap().keep_alive, kept, "{head}");
        }
    }
}
