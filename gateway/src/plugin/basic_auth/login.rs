//! The username and the password of a request (RFC 7617).

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use zeroize::Zeroizing;

use crate::plugin::auth::scheme;

/// Takes what Kong takes: padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A username and a password.
pub(super) struct Login {
    /// Both, with the colon between them.
    decoded: Zeroizing<Vec<u8>>,
    /// The place of the colon.
    colon: usize,
}

impl Login {
    /// The logins of a request: that of Proxy-Authorization, and that of Authorization.
    pub(super) fn all(headers: &HeaderMap) -> impl Iterator<Item = Self> {
        let values = scheme::FIELDS.iter().filter_map(|name| headers.get(name));
        values.filter_map(|value| Self::parse(value.as_bytes()))
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let decoded = Zeroizing::new(BASE64.decode(scheme::credentials(value, "basic")?).ok()?);
        let colon = memchr::memchr(b':', &decoded).filter(|colon| *colon > 0)?;
        Some(Self { decoded, colon })
    }

    /// The username; not empty.
    pub(super) fn username(&self) -> &[u8] {
        self.decoded.get(..self.colon).unwrap_or_default()
    }

    /// The password, which may be empty and hold colons.
    pub(super) fn password(&self) -> &[u8] {
        self.decoded.get(self.colon + 1..).unwrap_or_default()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};

    use super::*;

    fn parts(login: &Login) -> (&str, &str) {
        (str::from_utf8(login.username()).unwrap(), str::from_utf8(login.password()).unwrap())
    }

    #[test]
    fn logins() {
        for (value, expected) in [
            ("Basic dTpw", Some(("u", "p"))),
            ("bASIC dTpw", Some(("u", "p"))),
            ("Basic dTo=", Some(("u", ""))),
            ("Basic dTo", Some(("u", ""))),
            ("Basic dTpwOnE=", Some(("u", "p:q"))),
            ("Basic  dTpw", None),
            ("Basic OnA=", None),
            ("Basic dXA=", None),
            ("Basic !", None),
            ("Basic ", None),
            ("dTpw", None),
            ("Bearer dTpw", None),
        ] {
            let login = Login::parse(value.as_bytes());
            assert_eq!(login.as_ref().map(parts), expected, "{value}");
        }
    }

    #[test]
    fn proxy_authorization_comes_first_when_it_is_usable() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Basic dTpw".parse().unwrap());
        headers.insert(PROXY_AUTHORIZATION, "Bearer x".parse().unwrap());
        let all = |headers: &HeaderMap| Login::all(headers).collect::<Vec<_>>();
        assert_eq!(all(&headers).iter().map(parts).collect::<Vec<_>>(), [("u", "p")]);
        headers.insert(PROXY_AUTHORIZATION, "Basic djpx".parse().unwrap());
        assert_eq!(all(&headers).iter().map(parts).collect::<Vec<_>>(), [("v", "q"), ("u", "p")]);
    }

    #[test]
    fn debug_shows_no_password() {
        assert_eq!(format!("{:?}", Login::parse(b"Basic dTpw")), "Some(Login(***))");
    }
}
