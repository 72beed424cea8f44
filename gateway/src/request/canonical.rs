//! One canonical form of host and path: made once, matched by, and forwarded.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderValue, Version};
use pingora::http::RequestHeader;

use crate::error::Failure;

/// The canonical form of a request's host and path, where it differs from what was sent.
#[derive(Clone, Debug, Default)]
pub struct Canonical {
    /// The path, if it is another than the one sent.
    pub path: Option<Box<str>>,
    /// The host. Kept, since three look at it, and each would have to find it in the header again.
    host: Box<str>,
    /// Whether it is written differently from the one sent.
    rewritten: bool,
    /// The port that was sent with the host.
    port: Option<u16>,
}

impl Canonical {
    /// The canonical form of what `header` asks for.
    ///
    /// # Errors
    /// [`Failure::BadRequest`] for a target that is no path, for a path or host that is not UTF-8 (what
    /// cannot be compared cannot be routed), for one that [`wire::canonical_path`] or [`wire::split_authority`]
    /// refuses, and for HTTP/1.1 without a host (RFC 9112, section 3.2).
    pub fn new(header: &RequestHeader) -> Result<Self, Failure> {
        let sent = sent_authority(header)?;
        let (host, port) = wire::split_authority(sent).ok_or(Failure::BadRequest)?;
        if !has_path(header.raw_path()) || !header.raw_path_is_utf8() {
            return Err(Failure::BadRequest);
        }
        let path = wire::canonical_path(header.uri.path()).ok_or(Failure::BadRequest)?;
        let normalized = wire::normalize_host(host);
        Ok(Self {
            path: match path {
                Cow::Borrowed(_) => None,
                Cow::Owned(path) => Some(path.into()),
            },
            rewritten: normalized.is_some(),
            host: normalized.map_or_else(|| host.into(), Into::into),
            port,
        })
    }

    /// The path.
    pub fn path<'r>(&'r self, header: &'r RequestHeader) -> &'r str {
        self.path.as_deref().unwrap_or_else(|| header.uri.path())
    }

    /// The host, without its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that the client named beside the host.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of a `Host` header to be sent in place of the client's; `None`: the client's will do.
    pub fn authority(&self) -> Option<HeaderValue> {
        let host = self.rewritten.then_some(&*self.host)?;
        let authority = match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        HeaderValue::try_from(authority).ok()
    }
}

/// Whether the target is a path or an absolute URI (RFC 9112, section 3.2): not `*`, nor `admin`, which
/// Pingora takes for an authority with the path `/`.
fn has_path(target: &[u8]) -> bool {
    let begins = |with: &[u8]| target.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    begins(b"/") || begins(b"http://") || begins(b"https://")
}

/// Of the target in HTTP/2, else the `Host` header: Pingora has refused a request in which they differ.
fn sent_authority(header: &RequestHeader) -> Result<&str, Failure> {
    match header.uri.authority() {
        Some(authority) => Ok(authority.as_str()),
        None => match header.headers.get(HOST) {
            Some(host) => std::str::from_utf8(host.as_bytes()).map_err(|_| Failure::BadRequest),
            None if header.version == Version::HTTP_11 => Err(Failure::BadRequest),
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
            let canonical = Canonical::new(&header).unwrap();
            assert_eq!(canonical.host(), host, "{sent}");
            assert_eq!(canonical.port(), port, "{sent}");
            let forwarded = forwarded.map(HeaderValue::from_static);
            assert_eq!(canonical.authority(), forwarded, "{sent}");
        }
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
            assert_eq!(Canonical::new(&header).unwrap_err(), Failure::BadRequest, "{target:?} {host}");
        }
    }
}
