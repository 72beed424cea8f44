//! The header fields with credentials (RFC 9110, section 11): their schemes and parameters.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, PROXY_AUTHORIZATION};

/// The fields that may hold credentials; the first one counts before the second.
pub(in crate::plugin) const FIELDS: [HeaderName; 2] = [PROXY_AUTHORIZATION, AUTHORIZATION];

/// Whether one of the fields stands there twice. A gateway and an upstream may then read different credentials.
pub(in crate::plugin) fn is_ambiguous(headers: &HeaderMap) -> bool {
    FIELDS.iter().any(|name| headers.get_all(name).iter().nth(1).is_some())
}

/// The credentials of a field with this scheme, which is compared without case; `None` for other schemes.
pub(in crate::plugin) fn credentials<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let value = value.trim_ascii_start();
    let (start, rest) = value.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.strip_prefix(b" ")).flatten()
}

/// The challenge of a 401, such as `Basic realm="name"`. The realm is not escaped, as Kong does not.
pub(in crate::plugin) fn challenge(scheme: &str, realm: Option<&str>) -> String {
    realm.map_or_else(|| scheme.to_owned(), |realm| format!("{scheme} realm=\"{realm}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_have_no_case_and_one_blank() {
        for (value, rest) in [
            ("Basic eA==", Some("eA==")),
            ("  bAsIc eA==", Some("eA==")),
            ("Basic  eA==", Some(" eA==")),
            ("Basic ", Some("")),
            ("Basic", None),
            ("BasiceA==", None),
            ("Bearer eA==", None),
            ("", None),
        ] {
            assert_eq!(credentials(value.as_bytes(), "basic"), rest.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn challenges() {
        assert_eq!(challenge("Key", None), "Key");
        assert_eq!(challenge("Basic", Some("a b")), "Basic realm=\"a b\"");
    }

    #[test]
    fn repeated_fields_are_ambiguous() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "a".parse().unwrap());
        headers.append(PROXY_AUTHORIZATION, "b".parse().unwrap());
        assert!(!is_ambiguous(&headers));
        headers.append(AUTHORIZATION, "a".parse().unwrap());
        assert!(is_ambiguous(&headers));
    }
}
