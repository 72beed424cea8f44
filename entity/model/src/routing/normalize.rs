//! The canonical form of a request's path.

use std::borrow::Cow;

use crate::routing::percent::{is_plain, recode};

/// The path that is matched and forwarded in place of `path`: its [canonical form](normalize_path). It is
/// ASCII, whatever the bytes were.
///
/// `None` for a path that must be refused, because other programs may read another path in it:
///
/// - it does not begin with a slash;
/// - it has a NUL, at which some programs end the path;
/// - it has a dot segment behind an encoded slash or backslash: nginx decodes `/x/..%2Fadmin` to `/admin`;
/// - it has a segment that is a dot segment, or empty, without its parameters: Tomcat reads `/x/..;/admin`
///   and `/;/admin` as `/admin`.
pub fn canonical_path(path: &[u8]) -> Option<Cow<'_, str>> {
    if !path.starts_with(b"/") {
        return None;
    }
    let canonical = match std::str::from_utf8(path) {
        Ok(path) => normalize_path(path).map_or(Cow::Borrowed(path), Cow::Owned),
        Err(_) => Cow::Owned(remove_dots(&recode(path))),
    };
    (!canonical.contains("%00") && !has_hidden_segment(&canonical)).then_some(canonical)
}

/// The canonical form of `path` (RFC 3986, section 6.2.2): unreserved percent-encodings decoded, the others
/// in upper case, every byte encoded that a path may not hold, runs of slashes merged, dot segments removed.
/// `None` when it has that form already, so that the common case allocates nothing.
///
/// Slashes are merged before dots are removed, as nginx does: `/a//../b` is `/b`. A percent sign that begins
/// no encoding becomes `%25`. A backslash, which some servers read as a slash, becomes `%5C`. A second pass
/// changes nothing.
pub fn normalize_path(path: &str) -> Option<String> {
    if !path.starts_with('/') || !may_differ(path.as_bytes()) {
        return None;
    }
    let canonical = remove_dots(&recode(path.as_bytes()));
    (canonical != path).then_some(canonical)
}

/// Whether a canonical `path` hides a segment that an upstream may resolve and Gibbon did not. At the end of
/// a path, parameters may stand alone: `/;jsessionid=1` is the root.
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

/// Whether the path may differ from its canonical form: one look at each byte.
fn may_differ(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().any(|&byte| {
        let found = !is_plain(byte) || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        found
    })
}

/// Merges runs of slashes and removes dot segments. The path starts with a slash, and its dots are decoded.
pub(crate) fn remove_dots(path: &str) -> String {
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
        for path in
            ["", "/", "/a", "/a/", "/a.b/c..d", "/a/...", "/%2F", "/a%20b", "/.well-known/x", "*", "a/../b"]
        {
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
            ("/\u{fc}/x", "/%C3%BC/x"),
            ("/a|b^[c]\"{d}`<e> f", "/a%7Cb%5E%5Bc%5D%22%7Bd%7D%60%3Ce%3E%20f"),
            ("/\u{fc}/../%7c", "/%7C"),
            ("/a\\..\\b", "/a%5C..%5Cb"),
            ("/%", "/%25"),
            ("/%4", "/%254"),
            ("/%zz", "/%25zz"),
            ("/%%32e", "/%252e"),
            ("/%\u{fc}%41", "/%25%C3%BCA"),
        ] {
            let expected = (path != canonical).then(|| canonical.to_owned());
            assert_eq!(normalize_path(path), expected, "{path}");
        }
    }

    /// `path`, each byte of which is encoded where `encoded` says so.
    fn spell(path: &[u8], encoded: &[bool]) -> Vec<u8> {
        let spell = |(byte, encoded): (&u8, &bool)| match encoded {
            // Encoded, these would mean something else.
            true if !matches!(byte, b'/' | b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@') => {
                format!("%{byte:02x}").into_bytes()
            }
            _ => vec![*byte],
        };
        path.iter().zip(encoded).flat_map(spell).collect()
    }

    proptest! {
        #[test]
        fn twice_is_once(path in "/[/.%a2e5fF|;\"\\\\\u{fc}]{0,24}") {
            let once = normalize_path(&path).unwrap_or(path);
            prop_assert_eq!(normalize_path(&once), None, "{}", once);
        }

        #[test]
        fn all_spellings_of_a_path_have_one_form(
            rest in proptest::collection::vec(1_u8.., 0..24),
            one in proptest::collection::vec(any::<bool>(), 24),
            other in proptest::collection::vec(any::<bool>(), 24),
        ) {
            // Unencoded, it would not stand for itself.
            let rest: Vec<u8> = rest.into_iter().filter(|byte| *byte != b'%').collect();
            let path = [b"/", &rest[..]].concat();
            let flags = |flags: &[bool]| [&[false], flags].concat();
            let (one, other) = (spell(&path, &flags(&one)), spell(&path, &flags(&other)));
            let form = canonical_path(&one);
            prop_assert_eq!(&form, &canonical_path(&other));
            if let Some(form) = form {
                prop_assert!(form.is_ascii());
                prop_assert!(matches!(canonical_path(form.as_bytes()), Some(Cow::Borrowed(_))), "{}", form);
            }
        }
    }
}
