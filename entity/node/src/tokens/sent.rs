//! Finds the token of a request.

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;

/// The field in which clients of Kong send their token.
const ADMIN_TOKEN: &str = "kong-admin-token";

/// A request has several different tokens: it is unclear which one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// Returns the token of `Authorization: Bearer` or of `Kong-Admin-Token`. Other schemes of `Authorization` do
/// not count.
///
/// # Errors
/// The request has several tokens, and they differ.
pub fn sent(headers: &HeaderMap) -> Result<Option<&[u8]>, Ambiguous> {
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes()));
    let own = headers.get_all(ADMIN_TOKEN).iter().map(|value| value.as_bytes());
    let mut tokens = bearer.chain(own);
    let first = tokens.next();
    if tokens.all(|token| Some(token) == first) { Ok(first) } else { Err(Ambiguous) }
}

/// Returns the token of a `Bearer` field. The scheme is compared without regard to case (RFC 9110, section
/// 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_in(fields: &[(&'static str, &str)]) -> Result<Option<String>, Ambiguous> {
        let fields = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = fields.collect();
        sent(&headers).map(|token| token.map(|token| String::from_utf8_lossy(token).into_owned()))
    }

    #[test]
    fn either_field_brings_a_token_and_two_tokens_are_none() {
        let token = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(sent_in(&[("authorization", "Bearer abc")]), token("abc"));
        assert_eq!(sent_in(&[("authorization", "bEARER  abc ")]), token("abc"));
        assert_eq!(sent_in(&[("kong-admin-token", "abc")]), token("abc"));
        assert_eq!(sent_in(&[("kong-admin-token", "abc"), ("authorization", "Bearer abc")]), token("abc"));
        assert_eq!(sent_in(&[("authorization", "Basic abc"), ("kong-admin-token", "d")]), token("d"));
        assert_eq!(sent_in(&[("kong-admin-token", "")]), token(""));
        for none in [&[("authorization", "Basic abc")][..], &[("authorization", "Bearer")], &[("x", "y")]] {
            assert_eq!(sent_in(none), Ok(None));
        }
        assert_eq!(sent_in(&[("kong-admin-token", "a"), ("authorization", "Bearer b")]), Err(Ambiguous));
        assert_eq!(sent_in(&[("kong-admin-token", "a"), ("kong-admin-token", "b")]), Err(Ambiguous));
    }
}
