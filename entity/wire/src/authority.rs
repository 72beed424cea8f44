//! One canonical form of a request's host.

/// Host and port of an authority apart; a colon inside the brackets of an IPv6 address does not split.
/// `None` when what stands for a port is none.
pub fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        // Without brackets, the last colon of an address is no port's.
        Some((host, port)) if !authority.ends_with(']') => match port {
            "" => Some((host, None)),
            // A sign is none of a port's, though Rust reads it.
            port if port.starts_with('+') => None,
            port => port.parse().ok().map(|port| (host, Some(port))),
        },
        _ => Some((authority, None)),
    }
}

/// The canonical form of a host: in lower case, without the dots of the root at its end. `None` when it is
/// in that form already, so that the common case allocates nothing.
pub fn normalize_host(host: &str) -> Option<String> {
    let relative = host.trim_end_matches('.');
    let differs = relative.len() < host.len() || relative.bytes().any(|byte| byte.is_ascii_uppercase());
    differs.then(|| relative.to_ascii_lowercase())
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
        ] {
            assert_eq!(split_authority(authority), split, "{authority}");
        }
    }

    #[test]
    fn hosts_have_one_form() {
        for (host, canonical) in [("A.b.", Some("a.b")), ("a.b..", Some("a.b")), ("a.b", None), ("", None)] {
            assert_eq!(normalize_host(host).as_deref(), canonical, "{host}");
        }
    }
}
