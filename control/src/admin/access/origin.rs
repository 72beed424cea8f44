//! The origin of the web page that a browser sends a request for.

use std::fmt;

use axum::http::{HeaderMap, header};

use crate::admin::host::Host;
use crate::error::AccessError;

/// The field by which browsers name the relation of the origins, also where they send no `Origin`.
const FETCH_SITE: &str = "sec-fetch-site";

/// An origin: scheme, host, port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

impl Origin {
    /// Parses an origin as browsers write it: `https://admin.example`, `http://localhost:3000`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_scheme =
            !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let (host, port) = Host::parse_authority(authority)?;
        let scheme = scheme.to_ascii_lowercase();
        is_scheme.then(|| Self::new(scheme, host, port))
    }

    fn new(scheme: String, host: Host, port: Option<u16>) -> Self {
        let default = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Self { port: port.filter(|port| Some(*port) != default), scheme, host }
    }
}

/// Returns the allowed origin of a request, if a page sent it. Pages of the Admin API's own origin are
/// allowed.
pub(super) fn check<'a>(
    allowed: &'a [Origin],
    headers: &HeaderMap,
    host: Option<&(Host, Option<u16>)>,
    tls: bool,
) -> Result<Option<&'a Origin>, AccessError> {
    let mut fields = headers.get_all(header::ORIGIN).iter();
    let Some(field) = fields.next() else { return check_site(headers).map(|()| None) };
    let is_alone = fields.next().is_none();
    let origin =
        field.to_str().ok().and_then(Origin::parse).filter(|_| is_alone).ok_or(AccessError::ForeignOrigin)?;
    if let Some(known) = allowed.iter().find(|known| **known == origin) {
        return Ok(Some(known));
    }
    let scheme = if tls { "https" } else { "http" };
    let own = host.map(|(host, port)| Origin::new(scheme.to_owned(), host.clone(), *port));
    if own == Some(origin) { check_site(headers).map(|()| None) } else { Err(AccessError::ForeignOrigin) }
}

/// Rejects links, images and forms of other sites: for reads, a browser sends them without `Origin`.
fn check_site(headers: &HeaderMap) -> Result<(), AccessError> {
    let own = |value: &axum::http::HeaderValue| [&b"none"[..], b"same-origin"].contains(&value.as_bytes());
    match headers.get_all(FETCH_SITE).iter().all(own) {
        true => Ok(()),
        false => Err(AccessError::ForeignOrigin),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(fields: &[(&'static str, &str)], tls: bool) -> Result<Option<String>, AccessError> {
        let allowed = ["https://admin.example", "http://[::1]:3000"].map(|text| Origin::parse(text).unwrap());
        let fields = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let host = Host::parse_authority("localhost:8001");
        let origin = check(&allowed, &fields.collect(), host.as_ref(), tls);
        origin.map(|origin| origin.map(ToString::to_string))
    }

    #[test]
    fn allowed_origins_and_the_own_one_pass() {
        let from = |origin: &str| checked(&[("origin", origin), ("sec-fetch-site", "cross-site")], false);
        assert_eq!(from("https://admin.example"), Ok(Some("https://admin.example".to_owned())));
        assert_eq!(from("https://ADMIN.example:443"), Ok(Some("https://admin.example".to_owned())));
        assert_eq!(from("http://[0:0::1]:3000"), Ok(Some("http://[::1]:3000".to_owned())));
        assert_eq!(checked(&[("origin", "http://localhost:8001")], false), Ok(None));
        assert_eq!(checked(&[("origin", "https://localhost:8001")], true), Ok(None));
        for site in ["none", "same-origin"] {
            assert_eq!(checked(&[("sec-fetch-site", site)], false), Ok(None));
        }
        assert_eq!(checked(&[], false), Ok(None));
    }

    #[test]
    fn foreign_origins_are_refused() {
        for origin in [
            "null",
            "",
            "*",
            "https://evil.example",
            "http://admin.example",
            "https://admin.example:8443",
            "https://admin.example.evil.example",
            "http://localhost:3000",
            "http://localhost",
            "localhost:8001",
            "https://localhost:8001",
            "http://u@localhost:8001",
            "https://admin.example/",
            "file://",
        ] {
            assert_eq!(checked(&[("origin", origin)], false), Err(AccessError::ForeignOrigin), "{origin}");
        }
        let twice = [("origin", "https://admin.example"), ("origin", "https://evil.example")];
        assert_eq!(checked(&twice, false), Err(AccessError::ForeignOrigin));
        for site in ["cross-site", "same-site", "unheard-of", ""] {
            assert_eq!(
                checked(&[("sec-fetch-site", site)], false),
                Err(AccessError::ForeignOrigin),
                "{site}"
            );
        }
    }
}
