//! The text of a target: a name or an address, with an optional port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host and the port of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetAddress {
    /// An address.
    Ip(IpAddr, u16),
    /// A name, as it was written.
    Name(String, u16),
}

impl TargetAddress {
    /// The port of a text that gives none.
    pub const DEFAULT_PORT: u16 = 8000;

    /// Parses a name, an IPv4 address, or an IPv6 address with or without brackets, each with an optional
    /// port; `None` for any other text. As in Kong, two colons make an IPv6 address, and a text of digits and
    /// dots is an IPv4 address.
    pub fn parse(text: &str) -> Option<Self> {
        if text.matches(':').count() > 1 {
            return ipv6(text);
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, Self::DEFAULT_PORT),
        };
        if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return ipv4(host).map(|address| Self::Ip(address.into(), port));
        }
        is_name(host).then(|| Self::Name(host.to_owned(), port))
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Ip(_, port) | Self::Name(_, port) => *port,
        }
    }
}

impl fmt::Display for TargetAddress {
    /// The form in which targets are stored.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(address), port) => write!(f, "{address}:{port}"),
            Self::Ip(IpAddr::V6(address), port) => {
                let groups = address.segments().map(|group| format!("{group:04x}"));
                write!(f, "[{}]:{port}", groups.join(":"))
            }
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

fn ipv6(text: &str) -> Option<TargetAddress> {
    let (address, port) = match text.strip_prefix('[') {
        None => (text, TargetAddress::DEFAULT_PORT),
        Some(rest) => match rest.split_once(']')? {
            (address, "") => (address, TargetAddress::DEFAULT_PORT),
            (address, port) => (address, parse_port(port.strip_prefix(':')?)?),
        },
    };
    Some(TargetAddress::Ip(address.parse::<Ipv6Addr>().ok()?.into(), port))
}

/// Parses four numbers; unlike the standard library, with leading zeros.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = text.split('.').map(|octet| octet.parse::<u8>().ok());
    let address = [octets.next()??, octets.next()??, octets.next()??, octets.next()??];
    octets.next().is_none().then(|| address.into())
}

fn parse_port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Whether the text is a name as upstreams and targets have it, by Kong's rule: letters, digits, `-`, `.` and
/// `_`; no label ends in `-`, and none but the last is empty.
fn is_name(text: &str) -> bool {
    let relative = text.strip_suffix('.').unwrap_or(text);
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && !label.ends_with('-') && label.bytes().all(inside);
    relative.split('.').all(is_label)
}
