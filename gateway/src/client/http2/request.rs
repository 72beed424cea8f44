//! Reads the header of a request (RFC 9113, section 8.3). The library has refused what it knows to be wrong:
//! fields of one connection, wrong names and values, pseudo fields that are missing, unknown or misplaced.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::settings::Settings;
use crate::client::Request;
use crate::client::limits::LONGEST_METHOD;
use crate::client::request::LateFields;
use crate::error::RequestFailure;
use crate::message::Framing;

/// Bytes of a field on the wire of HTTP/1 beside its name and its value. The limits are the same for both
/// versions.
const FIELD_OVERHEAD: usize = 4;

/// Reads the header of a request, which `ends` with it if there is no body.
///
/// # Errors
/// [`RequestFailure::UriTooLong`], [`RequestFailure::HeaderTooLarge`], and [`RequestFailure::BadRequest`] for a
/// request without one clear host, target or length, or with too long a method. The header is left as it was, with
/// its cookies joined.
pub(super) fn read(parts: &mut Parts, ends: bool, settings: &Settings) -> Result<Request, RequestFailure> {
    join_cookies(&mut parts.headers);
    if parts.method.as_str().len() > LONGEST_METHOD {
        return Err(RequestFailure::BadRequest);
    }
    let target = target(parts);
    if target.len() > settings.max_target_bytes {
        return Err(RequestFailure::UriTooLong);
    }
    if parts.headers.len() > settings.max_header_fields {
        return Err(RequestFailure::HeaderTooLarge);
    }
    let field_bytes = bytes_of(&parts.headers);
    if field_bytes > settings.max_header_bytes {
        return Err(RequestFailure::HeaderTooLarge);
    }
    // The type of names allows a quotation mark, which no token has.
    if parts.headers.keys().any(|name| name.as_str().contains('"')) {
        return Err(RequestFailure::BadRequest);
    }
    if parts.method != Method::CONNECT && !is_target(target) {
        return Err(RequestFailure::BadRequest);
    }
    let target = Bytes::copy_from_slice(target);
    let authority = Bytes::copy_from_slice(authority(parts)?);
    let framing = framing(&parts.headers, ends)?;
    let host = if parts.headers.contains_key(HOST) {
        0
    } else {
        HOST.as_str().len() + FIELD_OVERHEAD + authority.len()
    };
    let line = parts.method.as_str().len() + target.len() + "  HTTP/1.1\r\n\r\n".len();
    Ok(Request {
        method: parts.method.clone(),
        is_head: parts.method == Method::HEAD,
        version: Version::HTTP_2,
        target,
        authority: Some(authority),
        headers: std::mem::take(&mut parts.headers),
        text: None,
        late: LateFields::default(),
        is_free_of_claims: false,
        framing,
        header_bytes: (line + host + field_bytes) as u64,
    })
}

/// Joins the fields into which a client has split its cookies (RFC 9113, section 8.2.3), before they are
/// counted, matched or forwarded.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::try_from(crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// The value of `:path`. CONNECT has none: its target is the authority.
fn target(parts: &Parts) -> &[u8] {
    let path = parts.uri.path_and_query().map(|path| path.as_str());
    let authority = || parts.uri.authority().map(|authority| authority.as_str());
    path.or_else(authority).unwrap_or_default().as_bytes()
}

/// Whether `:path` is a path, with or without a query, or `*`.
fn is_target(target: &[u8]) -> bool {
    let is_clean = target.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    is_clean && (target.starts_with(b"/") || target == b"*")
}

fn bytes_of(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum()
}

/// The one host: of `:authority`, or else of `Host`. Both must be the same, and neither may have user
/// information (RFC 9113, section 8.3.1).
fn authority(parts: &Parts) -> Result<&[u8], RequestFailure> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, another) = (hosts.next().map(HeaderValue::as_bytes), hosts.next());
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let one = match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => None,
        (Some(authority), _) => Some(authority),
        (None, host) => host,
    };
    one.filter(|one| another.is_none() && !one.contains(&b'@')).ok_or(RequestFailure::BadRequest)
}

/// How the body is delimited. Refuses a length that is not one number, also if it is the same number twice
/// (RFC 9110, section 8.6, allows that).
fn framing(headers: &HeaderMap, ends: bool) -> Result<Framing, RequestFailure> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => Some(number(length.as_bytes()).ok_or(RequestFailure::BadRequest)?),
        _ => return Err(RequestFailure::BadRequest),
    };
    Ok(match length {
        _ if ends => Framing::Empty,
        Some(0) => Framing::Empty,
        Some(length) => Framing::Length(length),
        None => Framing::Close,
    })
}

/// Digits alone, without a sign.
fn number(digits: &[u8]) -> Option<u64> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request as Message;

    use super::*;
    use crate::client::PaceTerms;

    fn settings() -> Settings {
        Settings {
            handshake_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            pace: PaceTerms { body_timeout: Duration::from_secs(1), min_rate: 0 },
            max_target_bytes: 100,
            max_header_bytes: 200,
            max_header_fields: 4,
            max_streams: 100,
        }
    }

    fn read_parts(uri: &str, fields: &[(&str, &str)], ends: bool) -> Result<Request, RequestFailure> {
        let mut message = Message::builder().uri(uri);
        for (name, value) in fields {
            message = message.header(*name, *value);
        }
        let (mut parts, ()) = message.body(()).unwrap().into_parts();
        read(&mut parts, ends, &settings())
    }

    #[test]
    fn requests_have_one_host() {
        for (uri, hosts, authority) in [
            ("http://a.com/", &[][..], Some("a.com")),
            ("http://a.com:80/", &["A.com:80"], Some("a.com:80")),
            ("/", &["a.com"], Some("a.com")),
            ("/", &[""], Some("")),
            ("/", &[], None),
            ("http://a.com/", &["b.com"], None),
            ("http://a.com/", &["a.com:80"], None),
            ("http://a.com/", &["a.com", "a.com"], None),
            ("/", &["a.com", "a.com"], None),
            ("http://user@a.com/", &[], None),
            ("http://user@a.com/", &["user@a.com"], None),
            ("/", &["user:password@a.com"], None),
        ] {
            let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let read = read_parts(uri, &fields, true).map(|request| request.authority);
            let expected = authority.map(|authority| Some(Bytes::from(authority)));
            assert_eq!(read, expected.ok_or(RequestFailure::BadRequest), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn targets_are_paths() {
        for (target, is_right) in [
            ("/", true),
            ("/a?b=c", true),
            ("/?", true),
            ("*", true),
            ("//a.com/b", true),
            ("/\u{fc}", true),
            ("", false),
            ("?a", false),
            ("a", false),
            ("**", false),
            ("http://a.com/", false),
            ("/a\x7f", false),
            ("/a\r\nb", false),
            ("/a b", false),
        ] {
            assert_eq!(is_target(target.as_bytes()), is_right, "{target:?}");
        }
        assert_eq!(read_parts("http://a.com", &[], true).unwrap().target, "/");
    }

    #[test]
    fn connect_passes() {
        let message = Message::builder().method(Method::CONNECT).uri("a.com:443").body(()).unwrap();
        let request = read(&mut message.into_parts().0, false, &settings()).unwrap();
        assert_eq!((&*request.target, request.authority), (&b"a.com:443"[..], Some("a.com:443".into())));
    }

    #[test]
    fn limits_are_kept() {
        let (long, longer) = ("a".repeat(99), "a".repeat(100));
        let target = |path: &str| read_parts(&format!("http://h/{path}"), &[], true).err();
        assert_eq!((target(&long), target(&longer)), (None, Some(RequestFailure::UriTooLong)));
        let value = |len: usize| read_parts("http://h/", &[("a", &"b".repeat(len))], true).err();
        assert_eq!((value(195), value(196)), (None, Some(RequestFailure::HeaderTooLarge)));
        let fields = |number: usize| read_parts("http://h/", &vec![("a", "b"); number], true).err();
        assert_eq!((fields(4), fields(5)), (None, Some(RequestFailure::HeaderTooLarge)));
    }

    #[test]
    fn methods_have_a_length() {
        let method = |length: usize| {
            let message = Message::builder().method(&*"A".repeat(length)).uri("http://h/").body(()).unwrap();
            read(&mut message.into_parts().0, true, &settings()).err()
        };
        assert_eq!((method(64), method(65)), (None, Some(RequestFailure::BadRequest)));
    }

    #[test]
    fn crumbs_become_one_field() {
        let request = read_parts("http://h/", &[("cookie", "a=1"); 10], true).unwrap();
        let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; ".repeat(10).trim_end_matches("; ")]);
    }

    #[test]
    fn bodies_have_one_length() {
        for (lengths, ends, framing) in [
            (&[][..], true, Some(Framing::Empty)),
            (&[], false, Some(Framing::Close)),
            (&["5"], false, Some(Framing::Length(5))),
            (&["5"], true, Some(Framing::Empty)),
            (&["0"], false, Some(Framing::Empty)),
            (&["5", "5"], false, None),
            (&["+5"], false, None),
            (&[""], false, None),
            (&["5, 5"], false, None),
            (&["18446744073709551616"], false, None),
        ] {
            let fields: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
            let read = read_parts("http://h/", &fields, ends).map(|request| request.framing);
            assert_eq!(read, framing.ok_or(RequestFailure::BadRequest), "{lengths:?}");
        }
    }
}
