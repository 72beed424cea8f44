//! One canonical form of a request's path.

use std::borrow::Cow;

/// What is matched and forwarded in place of `path`: its [canonical form](normalize_path). `None` for a path that
/// is refused, since others may read another out of it: it does not begin with a slash, has a NUL (which ends the
/// path for some), or a segment that only the upstream would resolve: a dot segment behind an encoded slash or
/// backslash (nginx decodes `/x/..%2Fadmin` to `/admin`), or one that is a dot segment, or nothing, once its
/// parameters are cut off (Tomcat reads `/x/..;/admin` and `/;/admin` so).
pub fn canonical_path(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') || path.contains("%00") {
        return None;
    }
    let canonical = normalize_path(path).map_or(Cow::Borrowed(path), Cow::Owned);
    (!has_hidden_segment(&canonical)).then_some(canonical)
}

/// The canonical form of `path` (RFC 3986, section 6.2.2): unreserved percent-encodings decoded, the
/// others in upper case, runs of slashes merged, dot segments removed. `None` when it is in that form
/// already, so that the common case allocates nothing.
///
/// Slashes are merged before dots are removed, as nginx does: `/a//../b` is `/b`. A percent sign that
/// begins no encoding becomes `%25`: were it left, `%%32e` would become `%2e`, which the next reader
/// decodes to a dot. A backslash, which is no character of a URI and which some servers read as a slash,
/// becomes `%5C`. Normalising twice is therefore the same as normalising once.
pub fn normalize_path(path: &str) -> Option<String> {
    if !path.starts_with('/') || !may_differ(path.as_bytes()) {
        return None;
    }
    let canonical = remove_dots(&decode(&path.replace('\\', "%5C")));
    (canonical != path).then_some(canonical)
}

/// Whether a canonical `path` hides a segment that an upstream may resolve though nobody here did. At the end of
/// a path parameters may stand alone: `/;jsessionid=1` is the root.
fn has_hidden_segment(path: &str) -> bool {
    if !path.contains(['%', ';']) {
        return false;
    }
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let mut parts = segment.split("%2F").flat_map(|part| part.split("%5C"));
        if parts.any(is_dots) || (segment.starts_with(';') && !is_last) {
            return true;
        }
    }
    false
}

/// `.` or `..`, with parameters or without.
fn is_dots(part: &str) -> bool {
    matches!(part.split_once(';').map_or(part, |(name, _)| name), "." | "..")
}

/// Whether anything in it could be written otherwise: one look at each byte.
fn may_differ(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().any(|&byte| {
        let found = matches!(byte, b'%' | b'\\') || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        found
    })
}

fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((plain, encoded)) = rest.split_once('%') {
        decoded.push_str(plain);
        rest = encoded;
        match hex_byte(encoded.as_bytes()) {
            Some(byte) if is_unreserved(byte) => decoded.push(char::from(byte)),
            Some(_) => {
                decoded.push('%');
                decoded.push_str(&encoded[..2].to_ascii_uppercase());
            }
            None => {
                decoded.push_str("%25");
                continue;
            }
        }
        rest = &encoded[2..];
    }
    decoded + rest
}

/// Of a decoded path that starts with a slash.
fn remove_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_open = false;
    for segment in path.split('/') {
        ends_open = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    let mut canonical = String::with_capacity(path.len());
    for segment in &kept {
        canonical.push('/');
        canonical.push_str(segment);
    }
    if ends_open {
        canonical.push('/');
    }
    canonical
}

/// The byte that two hexadecimal digits at the start stand for.
pub(crate) fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segments_that_only_an_upstream_would_resolve() {
        for path in [
            "/x/..%2Fadmin",
            "/x%2F..%2Fadmin",
            "/x/..%5Cadmin",
            "/x%5C..",
            "/.%2Fadmin",
            "/x/..;/admin",
            "/x/..;a=1",
            "/x%2F..;a%2Fadmin",
            "/;/admin",
            "/;x/admin",
        ] {
            assert!(has_hidden_segment(path), "{path}");
        }
        for path in [
            "",
            "/",
            "/a/",
            "/a%2Fb",
            "/files/%2Fetc",
            "/to/https%3A%2F%2Fa.b",
            "/a%2F.hidden",
            "/a%2F...",
            "/a..%2Fb",
            "/a;x/b",
            "/;jsessionid=1",
            "/%252e%252e%252fa",
        ] {
            assert!(!has_hidden_segment(path), "{path}");
        }
    }

    #[test]
    fn canonical_paths_are_left_alone() {
        for path in [
            "",
            "/",
            "/a",
            "/a/",
            "/a.b/c..d",
            "/a/...",
            "/%2F",
            "/a%20b",
            "/.well-known/x",
            "/\u{fc}",
            "*",
            "a/../b",
        ] {
            assert_eq!(normalize_path(path), None, "{path}");
        }
    }

    #[test]
    fn others_become_canonical() {
        for (path, canonical) in [
            ("//", "/"),
            ("/a//b", "/a/b"),
            ("/a/", "/a/"),
            ("///a///", "/a/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/../..", "/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/../../c", "/c"),
            ("/a//../b", "/b"),
            ("/%61", "/a"),
            ("/%7Euser", "/~user"),
            ("/%2e%2E/a", "/a"),
            ("/a/%2e./b", "/b"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb%2f..", "/a%2Fb%2F.."),
            ("/%c3%bc", "/%C3%BC"),
            ("/a\\..\\b", "/a%5C..%5Cb"),
            ("/%", "/%25"),
            ("/%4", "/%254"),
            ("/%zz", "/%25zz"),
            ("/%%32e", "/%252e"),
            ("/%\u{fc}%41", "/%25\u{fc}A"),
        ] {
            let expected = (path != canonical).then(|| canonical.to_owned());
            assert_eq!(normalize_path(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn twice_is_once(path in "/[/.%a2e5fF\\\\\u{fc}]{0,24}") {
            let once = normalize_path(&path).unwrap_or(path);
            prop_assert_eq!(normalize_path(&once), None, "{}", once);
        }
    }
}
