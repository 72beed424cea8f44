//! The canonical form of host and path: made once, used for matching, and forwarded.

use std::borrow::Cow;

use http::{HeaderValue, Version};

use crate::client::Request;
use crate::error::RequestFailure;

/// The canonical form of a request's host and path.
#[derive(Clone, Debug, Default)]
pub struct Canonical {
    /// The path, if it differs from the one sent.
    path: Option<Box<str>>,
    /// Where the path sent ends.
    path_end: usize,
    /// Where the target ends: a fragment, which is no part of it, may follow.
    target_end: usize,
    /// The host. Kept, since three parts use it, and each would have to find it in the header again.
    host: Box<str>,
    /// Whether the host differs from the one sent.
    rewritten: bool,
    /// The port that was sent with the host.
    port: Option<u16>,
}

impl Canonical {
    /// Creates the canonical form for `request`.
    ///
    /// # Errors
    /// [`RequestFailure::BadRequest`] for a target that is no path. Also for a host that is not UTF-8: it
    /// could not be compared, so it cannot be routed. Also for a path that [`model::canonical_path`] rejects,
    /// for a host that [`model::split_authority`] rejects, and for HTTP/1.1 without a host (RFC 9112, section
    /// 3.2).
    pub fn new(request: &Request) -> Result<Self, RequestFailure> {
        let authority = sent_authority(request)?;
        let (host, port) = model::split_authority(authority).ok_or(RequestFailure::BadRequest)?;
        let target_end = memchr::memchr(b'#', &request.target).unwrap_or(request.target.len());
        let target = &request.target[..target_end];
        let path_end = memchr::memchr(b'?', target).unwrap_or(target_end);
        if !target.starts_with(b"/") {
            return Err(RequestFailure::BadRequest);
        }
        let path = match model::canonical_path(&target[..path_end]).ok_or(RequestFailure::BadRequest)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path.into()),
        };
        let normalized = model::normalize_host(host);
        Ok(Self {
            path,
            path_end,
            target_end,
            rewritten: normalized.is_some(),
            host: normalized.map_or_else(|| host.into(), Into::into),
            port,
        })
    }

    /// The path.
    pub fn path<'r>(&'r self, request: &'r Request) -> &'r str {
        // A path that was left as it was sent is ASCII.
        self.path
            .as_deref()
            .unwrap_or_else(|| std::str::from_utf8(self.sent_path(request)).unwrap_or_default())
    }

    /// The query as it was sent.
    pub fn query<'r>(&self, request: &'r Request) -> Option<&'r [u8]> {
        self.sent_target(request).get(self.path_end + 1..)
    }

    /// The target as it was sent, without the host.
    pub fn sent_target<'r>(&self, request: &'r Request) -> &'r [u8] {
        request.target.get(..self.target_end).unwrap_or_default()
    }

    /// The path as it was sent.
    pub fn sent_path<'r>(&self, request: &'r Request) -> &'r [u8] {
        request.target.get(..self.path_end).unwrap_or_default()
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

fn sent_authority(request: &Request) -> Result<&str, RequestFailure> {
    match &request.authority {
        Some(authority) => std::str::from_utf8(authority).map_err(|_| RequestFailure::BadRequest),
        None if request.version == Version::HTTP_11 => Err(RequestFailure::BadRequest),
        None => Ok(""),
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
            let canonical = Canonical::new(&Request::example("/", sent)).unwrap();
            assert_eq!(canonical.host(), host, "{sent}");
            assert_eq!(canonical.port(), port, "{sent}");
            let forwarded = forwarded.map(HeaderValue::from_static);
            assert_eq!(canonical.authority(), forwarded, "{sent}");
        }
    }

    #[test]
    fn a_path_is_encoded_and_a_query_stays() {
        for (target, path, query, sent) in [
            ("/a", "/a", None, "/a"),
            ("/ü/<?a=\"ü", "/%C3%BC/%3C", Some("a=\"ü"), "/ü/<"),
            ("/a?#b?c", "/a", Some(""), "/a"),
            ("/a#b?c", "/a", None, "/a"),
        ] {
            let request = Request::example(target, "h");
            let canonical = Canonical::new(&request).unwrap();
            assert_eq!(canonical.path(&request), path);
            assert_eq!(canonical.query(&request), query.map(str::as_bytes));
            assert_eq!(canonical.sent_path(&request), sent.as_bytes());
        }
    }

    #[test]
    fn what_cannot_be_routed_is_refused() {
        for (target, host) in
            [("*", "a.com"), ("admin", "a.com"), ("/", "a.com:http"), ("/", "a.com:70000"), ("/", "a.com/b")]
        {
            let refused = Canonical::new(&Request::example(target, host));
            assert_eq!(refused.unwrap_err(), RequestFailure::BadRequest, "{target:?} {host}");
        }
    }
}
