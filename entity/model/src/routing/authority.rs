//! The canonical form of a request's host.

use std::net::Ipv6Addr;

/// The most bytes of a host: the longest name (RFC 1035, section 2.3.4) with the dot of the root. The cost of
/// a lookup grows with the labels of the host.
pub const MAX_HOST: usize = 254;

/// Splits an authority into host and port. A colon inside the brackets of an IPv6 address does not split.
/// `None` when the port is not a number, or when the host has characters that no host has or is longer than
/// [`MAX_HOST`].
pub fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        // Without brackets, the last colon of an address does not begin a port.
        Some((host, port)) if !authority.ends_with(']') => match port {
            "" => (host, None),
            // A port has no sign, though Rust parses one.
            port if port.starts_with('+') => return None,
            port => (host, Some(port.parse().ok()?)),
        },
        _ => (authority, None),
    };
    may_be_host(host).then_some((host, port))
}

/// Whether `host` has only characters that a host may have (RFC 3986, section 3.2.2). Encoded characters are
/// not allowed: they would be a second spelling of a name. Nor is a slash: an upstream may read it as the end
/// of the host.
fn may_be_host(host: &str) -> bool {
    if host.len() > MAX_HOST {
        return false;
    }
    let in_name = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b';' | b'=')
    };
    match host.starts_with('[') {
        false => host.bytes().all(in_name),
        true => bracketed(host).is_some(),
    }
}

fn bracketed(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The canonical form of a host: in lower case, without the dots of the root at its end; an address as RFC
/// 5952 writes it. `None` when it has that form already, so that the common case allocates nothing.
pub fn normalize_host(host: &str) -> Option<String> {
    if let Some(address) = bracketed(host) {
        let canonical = format!("[{address}]");
        return (canonical != host).then_some(canonical);
    }
    let relative = host.trim_end_matches('.');
    let differs = relative.len() < host.len() || relative.bytes().any(|byte| byte.is_ascii_uppercase());
    differs.then(|| relative.to_ascii_lowercase())
}

/// The form of a route's host, without its port, that is compared with canonical hosts: that of
/// [`normalize_host`], with an address in the brackets that it has in a request.
pub fn normalize_pattern(pattern: &str) -> String {
    match pattern.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => normalize_host(pattern).unwrap_or_else(|| pattern.to_owned()),
    }
}

/// Splits at the last colon, unless that is inside an IPv6 address.
pub(crate) fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    (bracketed || !host.contains(':')).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_split_off() {
        for (authority, split) in [
            ("a.b", Some(("a.b", None))),
            ("a.b:80", Some(("a.b", Some(80)))),
            ("a.b:", Some(("a.b", None))),
            ("[::1]", Some(("[::1]", None))),
            ("[::1]:80", Some(("[::1]", Some(80)))),
            ("a:+80", None),
            ("a:65536", None),
            ("a:http", None),
            ("", Some(("", None))),
            ("a_b,c", Some(("a_b,c", None))),
            ("a/b", None),
            ("a/b:80", None),
            ("u@a", None),
            ("%61", None),
            ("a b", None),
            ("\u{fc}", None),
            ("::1:80", None),
            ("[::1", None),
            ("[a]", None),
            ("[::1]x:80", None),
        ] {
            assert_eq!(split_authority(authority), split, "{authority}");
        }
    }

    #[test]
    fn hosts_have_a_greatest_length() {
        let longest = "a.".repeat(MAX_HOST / 2);
        for port in ["", ":80", ":"] {
            assert!(split_authority(&format!("{longest}{port}")).is_some());
            assert_eq!(split_authority(&format!("a{longest}{port}")), None);
        }
    }

    #[test]
    fn hosts_have_one_form() {
        for (host, canonical) in [
            ("A.b.", Some("a.b")),
            ("a.b..", Some("a.b")),
            ("a.b", None),
            ("", None),
            ("[::1]", None),
            ("[0:0::0:1]", Some("[::1]")),
            ("[2001:DB8::A]", Some("[2001:db8::a]")),
            ("[a", None),
        ] {
            assert_eq!(normalize_host(host).as_deref(), canonical, "{host}");
        }
        for pattern in ["::1", "[::1]", "0::1"] {
            assert_eq!(normalize_pattern(pattern), "[::1]");
        }
        assert_eq!(normalize_pattern("*.A.b."), "*.a.b");
    }
}
