//! A header of requests that a configuration names.

use std::iter;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of a header, as Kong finds it in requests: as it is configured, or else with hyphens for underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHeader {
    configured: HeaderName,
    /// `None` for a name without an underscore.
    hyphenated: Option<HeaderName>,
}

impl NamedHeader {
    /// Reads a name; `None` for one that no header can have.
    pub fn new(text: &str) -> Option<Self> {
        let configured = HeaderName::try_from(text).ok()?;
        let hyphenated = text.contains('_').then(|| HeaderName::try_from(text.replace('_', "-")));
        Some(Self { configured, hyphenated: hyphenated.transpose().ok()? })
    }

    /// The name as it is configured.
    pub fn configured(&self) -> &HeaderName {
        &self.configured
    }

    /// The names that a request may have it under, the one that counts first.
    pub fn spellings(&self) -> impl Iterator<Item = &HeaderName> {
        iter::once(&self.configured).chain(&self.hyphenated)
    }

    /// The values under all of them.
    pub fn all<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h HeaderValue> {
        let hyphenated = self.hyphenated.iter().flat_map(|name| headers.get_all(name));
        headers.get_all(&self.configured).iter().chain(hyphenated)
    }

    /// The first value under the first spelling that a request has.
    pub fn first<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        self.spellings().find_map(|name| headers.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_with_underscores_is_found_with_hyphens_as_well() {
        for (name, sent, found) in [
            ("x_u_v", &[("x_u_v", "a")][..], Some("a")),
            ("x_u_v", &[("x-u-v", "b")], Some("b")),
            ("X_U_V", &[("x-u-v", "b"), ("x_u_v", "a")], Some("a")),
            ("x_u_v", &[("x_u_v", ""), ("x-u-v", "b")], Some("")),
            ("x_u_v", &[("x_u-v", "c"), ("x-u_v", "c")], None),
            ("x-u-v", &[("x_u_v", "a")], None),
            ("x-u-v", &[("x-u-v", "b"), ("x-u-v", "c")], Some("b")),
        ] {
            let headers = sent
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let headers: HeaderMap = headers.collect();
            let header = NamedHeader::new(name).unwrap();
            assert_eq!(
                header.first(&headers).map(HeaderValue::as_bytes),
                found.map(str::as_bytes),
                "{name} {sent:?}"
            );
        }
    }

    #[test]
    fn names_without_underscores_have_one_spelling() {
        let spellings = |name: &str| NamedHeader::new(name).map(|header| header.spellings().count());
        assert_eq!(["x-u", "x_u", "", "a b"].map(spellings), [Some(1), Some(2), None, None]);
    }
}
