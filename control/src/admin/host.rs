//! The host that a request is for.

use std::fmt;
use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{Version, header};

use crate::error::AccessError;

/// A host: a name in lower case without a dot at its end, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    Ip(IpAddr),
}

/// The maximum length of a name in DNS.
const MAX_NAME: usize = 253;

impl Host {
    /// Parses a host without a port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let ip = inner.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().ok()?;
            return Some(Self::Ip(IpAddr::from(ip).to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if let Ok(ip) = name.parse::<std::net::Ipv4Addr>() {
            return Some(Self::Ip(ip.into()));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed);
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }

    /// Parses a host, with its port if it has one.
    pub(crate) fn parse_authority(text: &str) -> Option<(Self, Option<u16>)> {
        // The colons of an IPv6 address are inside its brackets.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (text, ""),
        };
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            "" => None,
            port => Some(port.parse().ok().filter(|_| digits)?),
        };
        Some((Self::parse(host)?, port))
    }

    /// Whether the host is this machine, whatever a name server says.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Ip(ip) => ip.is_loopback(),
        }
    }

    pub(super) fn is_ip(&self, other: IpAddr) -> bool {
        matches!(self, Self::Ip(ip) if *ip == other.to_canonical())
    }
}

/// Reads the host and port of a request; HTTP/1.0 may have none. The authority of an absolute target takes
/// precedence (RFC 9112, section 3.2.2), but both places must name the same host.
pub(super) fn of_request(parts: &Parts) -> Result<Option<(Host, Option<u16>)>, AccessError> {
    let parse = |text: &str| Host::parse_authority(text).ok_or(AccessError::BadHost);
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let host = match (fields.next(), fields.next()) {
        (Some(field), None) => Some(parse(field.to_str().map_err(|_| AccessError::BadHost)?)?),
        (None, _) if parts.version < Version::HTTP_11 => None,
        _ => return Err(AccessError::BadHost),
    };
    let Some(authority) = parts.uri.authority() else { return Ok(host) };
    let target = parse(authority.as_str())?;
    if host.as_ref().is_some_and(|(host, _)| *host != target.0) {
        return Err(AccessError::BadHost);
    }
    Ok(Some(target))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_one_form() {
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        let name = |text: &str| Host::Name(text.to_owned());
        for (text, host, port) in [
            ("localhost", name("localhost"), None),
            ("LocalHost.:8001", name("localhost"), Some(8001)),
            ("localhost:", name("localhost"), None),
            ("127.0.0.1:80", ip("127.0.0.1"), Some(80)),
            ("127.0.0.1.", ip("127.0.0.1"), None),
            ("[::1]:8001", ip("::1"), Some(8001)),
            ("[::FFFF:127.0.0.1]", ip("127.0.0.1"), None),
        ] {
            assert_eq!(Host::parse_authority(text), Some((host, port)), "{text}");
        }
        for bad in [
            "",
            ":80",
            ".",
            "a b",
            "user@localhost",
            "localhost:65536",
            "localhost:+1",
            "localhost:a",
            "::1",
            "[::1",
            "[::1]x",
            "[::1%25lo]",
            "[127.0.0.1]",
            "localhost/x",
            "a:1:2",
            "löcal",
            &"a".repeat(254),
        ] {
            assert_eq!(Host::parse_authority(bad), None, "{bad}");
        }
        assert!(Host::parse("127.9.9.9").is_some_and(|host| host.is_loopback()));
        for foreign in
            ["localhost.evil.example", "127.0.0.1.evil.example", "127.1", "0x7f000001", "2130706433"]
        {
            assert!(Host::parse(foreign).is_some_and(|host| !host.is_loopback()), "{foreign}");
        }
    }
}
