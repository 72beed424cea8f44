//! The path of a request without redundant slashes.

use std::borrow::Cow;

/// Merges repeated slashes of a path and drops a final one. An encoded slash is part of a name, and stays.
pub fn without_redundant_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && (path == "/" || !path.ends_with('/')) {
        return Cow::Borrowed(path);
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", segments.join("/")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundant_slashes_are_dropped() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/status", "/status"),
            ("/status/", "/status"),
            ("//status//ready/", "/status/ready"),
            ("/upstreams/a%2F%2Fb/health/", "/upstreams/a%2F%2Fb/health"),
            ("*", "*"),
        ] {
            assert_eq!(without_redundant_slashes(path), expected);
        }
    }
}
