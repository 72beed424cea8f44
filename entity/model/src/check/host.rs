//! Hosts, addresses and server names.

use std::net::{IpAddr, Ipv6Addr};

use crate::routing::split_port;
use crate::target_address::TargetAddress;

/// Checks the host of a service: a name or an address, no port.
pub(crate) fn host(host: &str) -> Result<(), String> {
    if is_host(host) {
        return Ok(());
    }
    match split_port(host) {
        Some((name, port)) if is_host(name) && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err("must not have a port".into())
        }
        _ => Err(format!("invalid value: {host}")),
    }
}

/// Checks one of a route's hosts: a name or an address, with an optional wildcard as its first or last label
/// and an optional port.
pub(crate) fn route_host(host: &str) -> Result<(), String> {
    let (name, port) = match split_port(host) {
        Some((name, port)) if !is_host(host) => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Err("invalid port number".into());
    }
    match name.matches('*').count() {
        0 if is_host(name) => Ok(()),
        0 => Err(format!("invalid hostname: {host}")),
        1 => {
            let plain = name.strip_prefix("*.").or_else(|| name.strip_suffix(".*"));
            let plain = plain.ok_or("invalid wildcard: must be placed at leftmost or rightmost label")?;
            if is_name(plain) { Ok(()) } else { Err(format!("invalid hostname: {host}")) }
        }
        _ => Err("invalid wildcard: must have at most one wildcard".into()),
    }
}

/// Checks a server name of a TLS handshake, with at most one wildcard at an end.
pub(crate) fn sni(sni: &str) -> Result<(), String> {
    if is_ip(sni) {
        return Err("must not be an IP".into());
    }
    if split_port(sni).is_some() {
        return Err("must not have a port".into());
    }
    let plain = match sni.matches('*').count() {
        0 => sni,
        1 => sni
            .strip_prefix("*.")
            .or_else(|| sni.strip_suffix(".*"))
            .ok_or("wildcard must be leftmost or rightmost character")?,
        _ => return Err("only one wildcard must be specified".into()),
    };
    if is_name(plain) { Ok(()) } else { Err(format!("invalid value: {sni}")) }
}

/// Checks the server name of one server: no wildcard, no address.
pub(crate) fn exact_sni(name: &str) -> Result<(), String> {
    if name.contains('*') { Err(format!("invalid value: {name}")) } else { sni(name) }
}

/// Checks a name or an address with an optional port, as a Host header holds it.
pub(crate) fn host_and_port(text: &str) -> Result<(), String> {
    let (name, port) = match split_port(text) {
        Some((name, port)) if !is_host(text) => (name, Some(port)),
        _ => (text, None),
    };
    let valid = is_host(name) && port.is_none_or(is_port);
    if valid { Ok(()) } else { Err(format!("invalid hostname: {text}")) }
}

/// Checks the name of an upstream: that of a host, neither an address nor with a port.
pub(crate) fn upstream_name(name: &str) -> Result<(), String> {
    let reason = match TargetAddress::parse(name) {
        None => "must be a valid hostname",
        Some(TargetAddress::Ip(..)) => "no ip addresses allowed",
        Some(TargetAddress::Name(..)) if name.contains(':') => "no port allowed",
        Some(TargetAddress::Name(..)) => return Ok(()),
    };
    Err(format!("Invalid name ('{name}'); {reason}"))
}

/// Checks the text of a target.
pub(crate) fn target(target: &str) -> Result<(), String> {
    match TargetAddress::parse(target) {
        Some(_) => Ok(()),
        None => Err(format!("Invalid target ('{target}'); not a valid hostname or ip address")),
    }
}

/// Checks an address, or a network in CIDR notation.
pub(crate) fn ip_or_cidr(text: &str) -> Result<(), String> {
    let valid = match text.split_once('/') {
        None => text.parse::<IpAddr>().is_ok(),
        Some((address, length)) => address.parse::<IpAddr>().is_ok_and(|address| {
            let most = if address.is_ipv4() { 32 } else { 128 };
            is_digits(length) && length.parse::<u8>().is_ok_and(|length| length <= most)
        }),
    };
    if valid { Ok(()) } else { Err(format!("invalid ip or cidr range: '{text}'")) }
}

/// Whether the text is an address or a name of a host.
pub(super) fn is_host(text: &str) -> bool {
    is_ip(text) || is_name(text)
}

fn is_ip(text: &str) -> bool {
    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match unbracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

/// Whether the text is a host name (RFC 1123, section 2.1; RFC 1035, section 2.3.4). Underscores are allowed,
/// since container networks use them. A name that ends in a number is not allowed, also in a hexadecimal one:
/// URL parsers read it as an address, and no certificate can have it.
fn is_name(text: &str) -> bool {
    let relative = text.strip_suffix('.').unwrap_or(text);
    let numeric = relative.rsplit('.').next().is_some_and(|label| is_digits(label) || is_hexadecimal(label));
    !relative.is_empty() && relative.len() <= 253 && !numeric && relative.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = label.as_bytes();
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    label.len() <= 63 && ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(inside)
}

fn is_port(text: &str) -> bool {
    is_digits(text) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_hexadecimal(text: &str) -> bool {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_services() {
        for good in ["a", "example.com", "example.com.", "a_b.c-d", "10.0.0.1", "::1", "[::1]", "1and1.com"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        for (bad, message) in [
            ("example.com:80", "must not have a port"),
            ("10.0.0.1:80", "must not have a port"),
            ("[::1]:80", "must not have a port"),
            ("example.com:", "must not have a port"),
            ("a b", "invalid value: a b"),
            ("a..b", "invalid value: a..b"),
            ("-a", "invalid value: -a"),
            ("*.a", "invalid value: *.a"),
            ("http://a", "invalid value: http://a"),
            ("10.0.0.256", "invalid value: 10.0.0.256"),
            ("a/b", "invalid value: a/b"),
            ("\u{fc}", "invalid value: \u{fc}"),
        ] {
            assert_eq!(host(bad), Err(message.to_owned()), "{bad}");
        }
        assert!(host(&"a".repeat(64)).is_err());
        assert!(host(&["a"; 128].join(".")).is_err());
    }

    #[test]
    fn hosts_of_routes() {
        for good in
            ["example.com", "*.example.com", "example.*", "*.example.com:8443", "a:1", "[::1]:80", "::1"]
        {
            assert_eq!(route_host(good), Ok(()), "{good}");
        }
        let label = "invalid wildcard: must be placed at leftmost or rightmost label";
        for (bad, message) in [
            ("*example.com", label),
            ("a.*.com", label),
            ("*", label),
            ("*.a.*", "invalid wildcard: must have at most one wildcard"),
            ("a:0", "invalid port number"),
            ("a:65536", "invalid port number"),
            ("a:+80", "invalid port number"),
            ("a:", "invalid port number"),
            ("*.", "invalid hostname: *."),
            ("a b", "invalid hostname: a b"),
            ("", "invalid hostname: "),
        ] {
            assert_eq!(route_host(bad), Err(message.to_owned()), "{bad}");
        }
    }

    #[test]
    fn server_names() {
        for good in ["example.com", "*.example.com", "example.*"] {
            assert_eq!(sni(good), Ok(()), "{good}");
        }
        for (bad, message) in [
            ("10.0.0.1", "must not be an IP"),
            ("::1", "must not be an IP"),
            ("a:443", "must not have a port"),
            ("a*b", "wildcard must be leftmost or rightmost character"),
            ("*.a.*", "only one wildcard must be specified"),
            ("a b", "invalid value: a b"),
        ] {
            assert_eq!(sni(bad), Err(message.to_owned()), "{bad}");
        }
    }

    #[test]
    fn addresses_and_networks() {
        for good in ["10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "0.0.0.0/0"] {
            assert_eq!(ip_or_cidr(good), Ok(()), "{good}");
        }
        for bad in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "a"] {
            assert_eq!(ip_or_cidr(bad), Err(format!("invalid ip or cidr range: '{bad}'")));
        }
    }
}
