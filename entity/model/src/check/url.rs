//! URLs of services that plugins ask.

use super::host;
use crate::routing::split_authority;

/// Checks a URL with a scheme and a host.
pub(crate) fn url(text: &str) -> Result<(), String> {
    let (scheme, rest) = match text.find("//") {
        Some(0) => ("", &text[2..]),
        Some(at) => (text[..at].strip_suffix(':').unwrap_or_default(), &text[at + 2..]),
        None => return Err("missing host in url".into()),
    };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return Err("missing host in url".into());
    }
    if scheme.is_empty() {
        return Err("missing scheme in url".into());
    }
    let has_blank = text.chars().any(|c| c.is_control() || c.is_whitespace());
    let valid = !has_blank && is_scheme(scheme) && split_authority(host).is_some();
    if valid { Ok(()) } else { Err("could not parse url".into()) }
}

/// Checks a URL of HTTP without a user and a password, which logs and answers would show.
pub(crate) fn of_http(text: &str) -> Result<(), String> {
    url(text)?;
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    if !["http", "https"].iter().any(|one| scheme.eq_ignore_ascii_case(one)) {
        return Err("expected a URL of http or https".into());
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if authority.contains('@') { Err("must not have a user".into()) } else { names_host(text) }
}

/// Checks the host of a URL: a data plane asks it, and over TLS it must be one that a certificate can have.
pub(crate) fn names_host(text: &str) -> Result<(), String> {
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match split_authority(host) {
        Some((host, _)) if host::is_host(host) => Ok(()),
        _ => Err("could not parse url".into()),
    }
}

/// Whether the text is the scheme of a URL (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_urls_are_names_or_addresses() {
        for good in
            ["https://a.example/x", "http://10.0.0.1:80", "https://[::1]/", "http://a_b", "https://0x1g/"]
        {
            assert_eq!(of_http(good), Ok(()), "{good}");
        }
        let long = format!("https://{}/", "a".repeat(64));
        for bad in [
            "https://0x1F/x",
            "https://1.2.3/x",
            "https://-a/x",
            "https://logs.10.2/x",
            "https://a-.b/",
            &long,
        ] {
            assert_eq!(of_http(bad), Err("could not parse url".into()), "{bad}");
        }
    }

    #[test]
    fn urls() {
        for good in [
            "http://a",
            "https://a.example:8443/b?c=d#e",
            "http://user:word@a/",
            "http://[::1]:80/",
            "HTTP://10.0.0.1",
        ] {
            assert_eq!(url(good), Ok(()), "{good}");
        }
        for (bad, message) in [
            ("a.example", "missing host in url"),
            ("http:/a", "missing host in url"),
            ("http://", "missing host in url"),
            ("http://:80", "missing host in url"),
            ("http://?a", "missing host in url"),
            ("//a/b", "missing scheme in url"),
            ("a//b", "missing scheme in url"),
            ("1a://b", "could not parse url"),
            ("http://a b", "could not parse url"),
            ("http://a:b", "could not parse url"),
            ("http://[::1", "could not parse url"),
        ] {
            assert_eq!(url(bad), Err(message.to_owned()), "{bad}");
        }
    }

    #[test]
    fn urls_of_http() {
        for good in ["http://a", "HTTPS://a.example:8443/b@c?d=e@f"] {
            assert_eq!(of_http(good), Ok(()), "{good}");
        }
        for (bad, message) in [
            ("a", "missing host in url"),
            ("ftp://a", "expected a URL of http or https"),
            ("http://user:word@a/", "must not have a user"),
        ] {
            assert_eq!(of_http(bad), Err(message.to_owned()), "{bad}");
        }
    }
}
