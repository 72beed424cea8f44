//! Joins `Cookie` fields: HTTP/2 may send a field for each cookie, to compress it better.

use http::header::COOKIE;
use http::{HeaderValue, Version};
use pingora::http::RequestHeader;

/// Joins the fields that an HTTP/2 client has split (RFC 9113, section 8.2.3), before they are counted,
/// matched or forwarded.
pub fn join_cookies(header: &mut RequestHeader) {
    if header.version != Version::HTTP_2 {
        return;
    }
    let mut crumbs = header.headers.get_all(COOKIE).iter();
    if crumbs.nth(1).is_none() {
        return;
    }
    let crumbs: Vec<_> = header.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::try_from(crumbs.join(&b"; "[..])) {
        header.insert_header(COOKIE, joined).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(version: Version, crumbs: &[&str]) -> Vec<String> {
        let mut header = RequestHeader::build("GET", b"/", None).unwrap();
        header.set_version(version);
        for crumb in crumbs {
            header.append_header(COOKIE, *crumb).unwrap();
        }
        join_cookies(&mut header);
        header.headers.get_all(COOKIE).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn crumbs_become_one_field() {
        assert_eq!(joined(Version::HTTP_2, &["a=1", "b=2", "c=3; d=4"]), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(joined(Version::HTTP_2, &["a=1"]), ["a=1"]);
        assert!(joined(Version::HTTP_2, &[]).is_empty());
        assert_eq!(joined(Version::HTTP_11, &["a=1", "b=2"]), ["a=1", "b=2"]);
    }
}
