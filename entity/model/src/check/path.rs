//! Paths of services and of routes.

use crate::routing::pattern;
use crate::routing::percent::hex_byte;
use crate::{PatternError, compile_path, normalize_path};

/// The most bytes of a path. A request's path is never longer than a request's header, and a data plane's
/// table is as deep as its longest path.
const MAX_PATH_BYTES: usize = 4096;

/// Checks the path of a service, which precedes a request's path.
pub(crate) fn service_path(path: &str) -> Result<(), String> {
    length(path)?;
    if !path.starts_with('/') {
        return Err("should start with: /".into());
    }
    no_empty_segment(path)?;
    characters(path)
}

/// Checks the path of a cookie.
pub(crate) fn cookie_path(path: &str) -> Result<(), String> {
    // It would end the attribute.
    if path.contains(';') { Err(outside(path)) } else { service_path(path) }
}

/// Checks the path that a probe asks for, with an optional query.
pub(crate) fn probe_path(path: &str) -> Result<(), String> {
    length(path)?;
    if !path.starts_with('/') {
        return Err("should start with: /".into());
    }
    if path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') { Ok(()) } else { Err(outside(path)) }
}

fn outside(path: &str) -> String {
    format!("invalid path: '{path}' (characters outside of the reserved list of RFC 3986 found)")
}

/// Checks one of a route's paths: a prefix, or a regular expression after a `~`.
pub(crate) fn route_path(path: &str) -> Result<(), String> {
    length(path)?;
    if !(path.starts_with('/') || path.starts_with("~/")) {
        return Err("should start with: / (fixed path) or ~/ (regex path)".into());
    }
    no_empty_segment(path)?;
    match path.strip_prefix('~') {
        Some(pattern) => regex(pattern),
        None => prefix(path),
    }
}

fn prefix(path: &str) -> Result<(), String> {
    // Other characters never occur in a request's path: such a route would be accepted and never match.
    characters(path)?;
    match normalize_path(path) {
        Some(normal) => Err(format!("non-normalized path, consider use '{normal}' instead")),
        None => Ok(()),
    }
}

fn regex(pattern: &str) -> Result<(), String> {
    if pattern.contains('\0') {
        return Err(format!("invalid regex: {pattern:?} (a NUL character)"));
    }
    compile_path(pattern).map(drop).map_err(|error| invalid(pattern, &error))
}

/// The narrower rule for a regular expression that is written now; older versions took larger ones.
pub(crate) fn written_route_path(path: &str) -> Result<(), String> {
    let Some(pattern) = path.strip_prefix('~') else { return Ok(()) };
    pattern::check_written_path(pattern).map_err(|error| invalid(pattern, &error))
}

fn invalid(pattern: &str, error: &PatternError) -> String {
    format!("invalid regex: '{pattern}' ({})", error.reason())
}

fn length(path: &str) -> Result<(), String> {
    match path.len() {
        length if length > MAX_PATH_BYTES => Err(format!(
            "length must be at most {MAX_PATH_BYTES} bytes, the path beginning '{}' has {length}",
            head(path)
        )),
        _ => Ok(()),
    }
}

/// The beginning of a path, for messages.
fn head(path: &str) -> &str {
    &path[..path.floor_char_boundary(32)]
}

fn no_empty_segment(path: &str) -> Result<(), String> {
    if path.contains("//") { Err("must not have empty segments".into()) } else { Ok(()) }
}

/// Checks the characters of a path (RFC 3986, section 3.3).
fn characters(path: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    if !path.bytes().all(allowed) {
        return Err(outside(path));
    }
    for encoded in path.split('%').skip(1) {
        if hex_byte(encoded.as_bytes()).is_none() {
            let value: String = encoded.chars().take(2).collect();
            return Err(format!("invalid url-encoded value: '%{value}'"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_a_greatest_length() {
        let longest = "/".to_owned() + &"a".repeat(MAX_PATH_BYTES - 1);
        for check in [service_path, route_path] {
            assert_eq!(check(&longest), Ok(()));
            let refused = check(&format!("{longest}a")).unwrap_err();
            assert!(refused.starts_with("length must be at most 4096 bytes"), "{refused}");
        }
    }

    #[test]
    fn paths_of_services() {
        for good in ["/", "/a/b", "/a%20b", "/a:b@c;d=e,f!$&'()*+", "/a/../b"] {
            assert_eq!(service_path(good), Ok(()), "{good}");
        }
        let outside = |path| {
            format!("invalid path: '{path}' (characters outside of the reserved list of RFC 3986 found)")
        };
        for (bad, message) in [
            ("a", "should start with: /".to_owned()),
            ("", "should start with: /".to_owned()),
            ("/a//b", "must not have empty segments".to_owned()),
            ("/a b", outside("/a b")),
            ("/a?b", outside("/a?b")),
            ("/\u{fc}", outside("/\u{fc}")),
            ("/%2", "invalid url-encoded value: '%2'".to_owned()),
            ("/%zz1", "invalid url-encoded value: '%zz'".to_owned()),
        ] {
            assert_eq!(service_path(bad), Err(message), "{bad}");
        }
    }

    #[test]
    fn paths_of_routes() {
        for good in ["/", "/a/", "/%2F", "~/a", r"~/users/\d+$", "~/(?<id>[^/]+)", "/a.b"] {
            assert_eq!(route_path(good), Ok(()), "{good}");
        }
        let start = "should start with: / (fixed path) or ~/ (regex path)";
        for (bad, message) in [
            ("a", start),
            ("~a", start),
            ("~", start),
            ("/a//b", "must not have empty segments"),
            ("/a/../b", "non-normalized path, consider use '/b' instead"),
            ("/%61", "non-normalized path, consider use '/a' instead"),
            ("/%2f", "non-normalized path, consider use '/%2F' instead"),
            ("/%", "invalid url-encoded value: '%'"),
            ("~/(", "invalid regex: '/(' (unclosed group)"),
        ] {
            assert_eq!(route_path(bad), Err(message.to_owned()), "{bad}");
        }
        assert!(route_path("/a?b").is_err() && route_path("~/a\0").is_err());
    }
}
