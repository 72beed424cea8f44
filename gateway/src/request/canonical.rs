//! The canonical form of host and path: made once, used for matching, and forwarded.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderValue, Version};
use pingora::http::RequestHeader;

use crate::error::RequestFailure;

/// Bytes of a target that were replaced in the parsed one, since the type of targets has no place for them,
/// with their positions.
pub type Replaced = Vec<(usize, u8)>;

/// The canonical form of a request's host and path, where it differs from what was sent.
#[derive(Clone, Debug, Default)]
pub struct Canonical {
    /// The target as it was sent, if bytes were replaced in the header's.
    sent: Option<Box<[u8]>>,
    /// The path, if it differs from the one sent.
    path: Option<Box<str>>,
    /// The host. Kept, since three parts use it, and each would have to find it in the header again.
    host: Box<str>,
    /// Whether the host differs from the one sent.
    rewritten: bool,
    /// The port that was sent with the host.
    port: Option<u16>,
}

impl Canonical {
    /// Creates the canonical form for `header`, some bytes of whose target were `replaced`.
    ///
    /// # Errors
    /// [`RequestFailure::BadRequest`] for a target that is no path. Also for a host that is not UTF-8: it
    /// could not be compared, so it cannot be routed. Also for a path that [`wire::canonical_path`] rejects,
    /// for a host that [`wire::split_authority`] rejects, and for HTTP/1.1 without a host (RFC 9112, section
    /// 3.2).
    pub fn new(header: &RequestHeader, replaced: &Replaced) -> Result<Self, RequestFailure> {
        let authority = sent_authority(header)?;
        let (host, port) = wire::split_authority(authority).ok_or(RequestFailure::BadRequest)?;
        if !has_path(header.raw_path()) || !header.raw_path_is_utf8() {
            return Err(RequestFailure::BadRequest);
        }
        let sent = (!replaced.is_empty()).then(|| restore(header.raw_path(), replaced));
        let path = sent.as_deref().map_or(header.uri.path().as_bytes(), |sent| split_query(sent).0);
        let path = match wire::canonical_path(path).ok_or(RequestFailure::BadRequest)? {
            // A path in canonical form had nothing replaced.
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path.into()),
        };
        let normalized = wire::normalize_host(host);
        Ok(Self {
            sent,
            path,
            rewritten: normalized.is_some(),
            host: normalized.map_or_else(|| host.into(), Into::into),
            port,
        })
    }

    /// The path.
    pub fn path<'r>(&'r self, header: &'r RequestHeader) -> &'r str {
        self.path.as_deref().unwrap_or_else(|| header.uri.path())
    }

    /// The canonical path, and the query as it was sent.
    pub fn path_and_query<'r>(&'r self, header: &'r RequestHeader) -> (&'r str, Option<&'r [u8]>) {
        let query = match &self.sent {
            Some(sent) => split_query(sent).1,
            None => header.uri.query().map(str::as_bytes),
        };
        (self.path(header), query)
    }

    /// The target as it was sent, without the host.
    pub fn sent_target<'r>(&'r self, header: &'r RequestHeader) -> &'r [u8] {
        let parsed = || header.uri.path_and_query().map_or(&b"/"[..], |target| target.as_str().as_bytes());
        self.sent.as_deref().unwrap_or_else(parsed)
    }

    /// The path as it was sent.
    pub fn sent_path<'r>(&'r self, header: &'r RequestHeader) -> &'r [u8] {
        self.sent.as_deref().map_or(header.uri.path().as_bytes(), |sent| split_query(sent).0)
    }

    /// The host, without its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that the client sent with the host.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of a `Host` header to send in place of the client's; `None`: the client's is right.
    pub fn authority(&self) -> Option<HeaderValue> {
        let host = self.rewritten.then_some(&*self.host)?;
        let authority = match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        HeaderValue::try_from(authority).ok()
    }
}

/// Restores the replaced bytes in `target`. A fragment, which is no part of it, is dropped with its bytes.
fn restore(target: &[u8], replaced: &Replaced) -> Box<[u8]> {
    let mut sent: Box<[u8]> = target.into();
    for (at, byte) in replaced {
        if let Some(place) = sent.get_mut(*at) {
            *place = *byte;
        }
    }
    sent
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// Whether the target is a path or an absolute URI (RFC 9112, section 3.2). It is neither for `*`, nor for
/// `admin`, which Pingora reads as an authority with the path `/`.
fn has_path(target: &[u8]) -> bool {
    let begins = |with: &[u8]| target.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    begins(b"/") || begins(b"http://") || begins(b"https://")
}

/// The authority of an HTTP/2 target, else the `Host` header: Pingora refuses a request in which they differ.
fn sent_authority(header: &RequestHeader) -> Result<&str, RequestFailure> {
    match header.uri.authority() {
        Some(authority) => Ok(authority.as_str()),
        None => match header.headers.get(HOST) {
            Some(host) => std::str::from_utf8(host.as_bytes()).map_err(|_| RequestFailure::BadRequest),
            None if header.version == Version::HTTP_11 => Err(RequestFailure::BadRequest),
            None => Ok(""),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_one_form() {
        for (sent, host, port, forwarded) in [
            ("a.com", "a.com", None, None),
            ("A.Com", "a.com", None, Some("a.com")),
            ("a.com.", "a.com", None, Some("a.com")),
            ("A.com.:8080", "a.com", Some(8080), Some("a.com:8080")),
            ("a.com:80", "a.com", Some(80), None),
            ("a.com:", "a.com", None, None),
            ("[::1]:80", "[::1]", Some(80), None),
            ("[::1]", "[::1]", None, None),
        ] {
            let mut header = RequestHeader::build("GET", b"/", None).unwrap();
            header.insert_header(HOST, sent).unwrap();
            let canonical = Canonical::new(&header, &Vec::new()).unwrap();
            assert_eq!(canonical.host(), host, "{sent}");
            assert_eq!(canonical.port(), port, "{sent}");
            let forwarded = forwarded.map(HeaderValue::from_static);
            assert_eq!(canonical.authority(), forwarded, "{sent}");
        }
    }

    #[test]
    fn what_was_replaced_is_restored() {
        let header = RequestHeader::build("GET", b"/_/_?a=_", None).unwrap();
        let replaced = vec![(1, 0xfc), (3, b'<'), (7, b'"'), (100, b'x')];
        let header = {
            let mut header = header;
            header.insert_header(HOST, "h").unwrap();
            header
        };
        let canonical = Canonical::new(&header, &replaced).unwrap();
        assert_eq!(canonical.path_and_query(&header), ("/%FC/%3C", Some(&b"a=\""[..])));
        assert_eq!(canonical.sent_path(&header), b"/\xfc/<");
    }

    #[test]
    fn what_cannot_be_routed_is_refused() {
        for (target, host) in [
            (&b"*"[..], "a.com"),
            (b"/", "a.com:http"),
            (b"/", "a.com:70000"),
            (b"/\xff", "a.com"),
            (b"/", "a.com/b"),
        ] {
            let mut header = RequestHeader::build("OPTIONS", target, None).unwrap();
            header.insert_header(HOST, host).unwrap();
            assert_eq!(
                Canonical::new(&header, &Vec::new()).unwrap_err(),
                RequestFailure::BadRequest,
                "{target:?} {host}"
            );
        }
    }
}
