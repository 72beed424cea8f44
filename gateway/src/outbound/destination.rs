//! Where a call goes: a URL, read once.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use crate::upstream::{Host, InvalidName, Protocol, Terms, UpstreamTls};

/// A URL of `http` or `https`, and the terms of connections to its host.
#[derive(Clone)]
pub struct Destination {
    terms: Arc<Terms>,
    host: Host,
    port: u16,
    authority: HeaderValue,
    target: Box<str>,
    user_info: Option<Box<str>>,
}

/// Why a URL cannot be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableUrl {
    /// It is no URL.
    #[error("is not a URL")]
    Malformed,
    /// Its scheme is another one.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// It has no host, or one that no header can have.
    #[error("has no host")]
    NoHost,
    /// Its host cannot be verified by TLS.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Destination {
    /// Reads a URL. A fragment is left out. With `verify` the server must show a certificate for its host that an
    /// authority of the system has issued.
    ///
    /// # Errors
    /// When the URL cannot be called.
    pub fn parse(url: &str, verify: bool) -> Result<Self, UnusableUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(UnusableUrl::Malformed)?;
        let is_tls = scheme.eq_ignore_ascii_case("https");
        if !is_tls && !scheme.eq_ignore_ascii_case("http") {
            return Err(UnusableUrl::Scheme);
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, authority),
        };
        let (name, port) = model::split_authority(host).ok_or(UnusableUrl::Malformed)?;
        if name.is_empty() {
            return Err(UnusableUrl::NoHost);
        }
        let own_port = if is_tls { 443 } else { 80 };
        let port = port.unwrap_or(own_port);
        let authority = if port == own_port { name.to_owned() } else { format!("{name}:{port}") };
        let host = Host::new(name);
        let terms = if is_tls {
            Arc::new(Terms::tls(Protocol::Http1, &host, &UpstreamTls::common(verify))?)
        } else {
            Terms::plain(Protocol::Http1)
        };
        Ok(Self {
            terms,
            host,
            port,
            authority: HeaderValue::try_from(authority).map_err(|_| UnusableUrl::NoHost)?,
            target: target_of(target),
            user_info: user_info.map(Into::into),
        })
    }

    /// The same without a query.
    #[must_use]
    pub fn without_query(mut self) -> Self {
        if let Some((path, _)) = self.target.split_once('?') {
            self.target = path.into();
        }
        self
    }

    /// The user and the password as they are written in the URL, `user:password`.
    pub fn user_info(&self) -> Option<&str> {
        self.user_info.as_deref()
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host`.
    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// The path and the query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }
}

/// The path and the query of a URL, in the form in which they are sent.
fn target_of(rest: &str) -> Box<str> {
    let target = rest.split_once('#').map_or(rest, |(target, _)| target);
    let encoded = model::encode_uri(target.as_bytes());
    if encoded.starts_with('/') { encoded.into() } else { format!("/{encoded}").into() }
}

/// Without the user, the password and the query, which may hold a key.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("authority", &self.authority).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        node::install_tls_provider();
        for (url, host, port, authority, target, user_info) in [
            ("http://a.test", "a.test", 80, "a.test", "/", None),
            ("http://A.test:8080/x?y=1#z", "a.test", 8080, "A.test:8080", "/x?y=1", None),
            ("https://a.test/x", "a.test", 443, "a.test", "/x", None),
            ("https://a.test:80/", "a.test", 80, "a.test:80", "/", None),
            ("http://u:p%40@[::1]:9/", "::1", 9, "[::1]:9", "/", Some("u:p%40")),
            ("http://a.test?x", "a.test", 80, "a.test", "/?x", None),
            ("HTTP://a.test/a b<?\u{fc}", "a.test", 80, "a.test", "/a%20b%3C?%C3%BC", None),
        ] {
            let read = Destination::parse(url, true).unwrap();
            let name = match read.host() {
                Host::Name(name) => name.to_string(),
                Host::Address(address) => address.to_string(),
            };
            assert_eq!((name.as_str(), read.port()), (host, port), "{url}");
            assert_eq!((read.authority().to_str().unwrap(), read.target()), (authority, target), "{url}");
            assert_eq!(read.user_info(), user_info, "{url}");
            assert_eq!(read.terms().is_tls(), url.starts_with("https"));
            assert!(!format!("{read:?}").contains("p%40"));
        }
        assert_eq!(Destination::parse("http://a/b?c", true).unwrap().without_query().target(), "/b");
    }

    #[test]
    fn other_urls_are_refused() {
        for (url, refused) in [
            ("", UnusableUrl::Malformed),
            ("a.test", UnusableUrl::Malformed),
            ("/x", UnusableUrl::Malformed),
            ("ftp://a.test", UnusableUrl::Scheme),
            ("http://a b/", UnusableUrl::Malformed),
            ("http://", UnusableUrl::NoHost),
            ("http://a\r\nb/", UnusableUrl::Malformed),
        ] {
            assert_eq!(Destination::parse(url, true).unwrap_err(), refused, "{url}");
        }
    }
}
