//! URLs of collectors.

use crate::check::url;

/// Checks the URL of a collector that is called over HTTP.
pub(super) fn http_url(text: &str) -> Result<(), String> {
    url::url(text)?;
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => url::names_host(text),
        Some(_) | None => Err("could not parse url".into()),
    }
}

/// Whether a URL has a user, and perhaps a password.
pub(super) fn has_user_info(text: &str) -> bool {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_are_called_over_http() {
        for good in ["http://a", "HTTPS://a:1/b?c"] {
            assert_eq!(http_url(good), Ok(()), "{good}");
        }
        for bad in ["ftp://a", "http:/a", "a"] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
        assert!(has_user_info("http://a:b@c/") && !has_user_info("http://a/@b"));
    }
}
