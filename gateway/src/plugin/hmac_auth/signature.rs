//! What a signature signs, and how it is checked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Version};
use model::plugins::hmac_auth::HmacAlgorithm;
use ring::{digest, hmac};

/// The parts of a request that can be signed, as the client sent them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) method: &'a Method,
    /// Path and query.
    pub(super) target: &'a [u8],
    pub(super) version: Version,
    /// The host, which HTTP/2 has in no header.
    pub(super) host: &'a str,
    pub(super) headers: &'a HeaderMap,
}

impl Signed<'_> {
    /// The text that is signed: one line for each name.
    pub(super) fn text<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<u8> {
        let mut text = Vec::with_capacity(256);
        for (index, name) in names.enumerate() {
            if index > 0 {
                text.push(b'\n');
            }
            self.line(name, &mut text);
        }
        text
    }

    fn line(&self, name: &str, text: &mut Vec<u8>) {
        if let Some(value) = self.value(name) {
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value);
            return;
        }
        match name {
            "@request-target" => {
                let method = self.method.as_str().to_ascii_lowercase();
                text.extend_from_slice(format!("@request-target: {method} ").as_bytes());
                text.extend_from_slice(self.target);
            }
            "request-line" => {
                text.extend_from_slice(format!("{} ", self.method).as_bytes());
                text.extend_from_slice(self.target);
                text.extend_from_slice(self.protocol().as_bytes());
            }
            _ => {
                text.extend_from_slice(name.as_bytes());
                text.push(b':');
            }
        }
    }

    /// The first value of a header.
    fn value(&self, name: &str) -> Option<&[u8]> {
        match self.headers.get(name) {
            Some(value) => Some(value.as_bytes()),
            None if name.eq_ignore_ascii_case("host") => Some(self.host.as_bytes()),
            None => None,
        }
    }

    fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_2 => " HTTP/2.0",
            Version::HTTP_10 => " HTTP/1.0",
            _ => " HTTP/1.1",
        }
    }
}

/// Whether `signature`, in base64, is that of the text. The comparison takes the same time for every wrong one.
pub(super) fn is_valid(algorithm: HmacAlgorithm, secret: &[u8], text: &[u8], signature: &str) -> bool {
    let algorithm = match algorithm {
        HmacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HmacAlgorithm::Sha384 => hmac::HMAC_SHA384,
        HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let signature = STANDARD.decode(signature).unwrap_or_default();
    hmac::verify(&hmac::Key::new(algorithm, secret), text, &signature).is_ok()
}

/// Whether the header Digest, if there is one, is that of the body. Only an empty body needs none.
pub(super) fn is_digest_of(body: &[u8], digest: Option<&[u8]>) -> bool {
    let Some(given) = digest else { return body.is_empty() };
    let sum = STANDARD.encode(digest::digest(&digest::SHA256, body));
    given.strip_prefix(b"SHA-256=") == Some(sum.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> HeaderMap {
        let fields = [("date", "Thu, 22 Jun 2017 17:15:21 GMT"), ("x-a", "1"), ("x-a", "2"), ("x-empty", "")];
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn texts_that_are_signed() {
        let headers = headers();
        for (names, version, expected) in [
            ("date", Version::HTTP_11, "date: Thu, 22 Jun 2017 17:15:21 GMT"),
            ("Date X-A", Version::HTTP_11, "Date: Thu, 22 Jun 2017 17:15:21 GMT\nX-A: 1"),
            ("request-line", Version::HTTP_11, "POST /a%20b?c=d HTTP/1.1"),
            ("request-line", Version::HTTP_2, "POST /a%20b?c=d HTTP/2.0"),
            ("request-line", Version::HTTP_10, "POST /a%20b?c=d HTTP/1.0"),
            ("@request-target", Version::HTTP_11, "@request-target: post /a%20b?c=d"),
            ("host x-none x-empty", Version::HTTP_2, "host: a.test:80\nx-none:\nx-empty: "),
            ("host", Version::HTTP_11, "host: a.test:80"),
            ("b\u{e9}d", Version::HTTP_11, "b\u{e9}d:"),
        ] {
            let signed = Signed {
                method: &Method::POST,
                target: b"/a%20b?c=d",
                version,
                host: "a.test:80",
                headers: &headers,
            };
            let text = String::from_utf8(signed.text(names.split(' '))).unwrap();
            assert_eq!(text, expected, "{names}");
        }
    }

    #[test]
    fn signatures_of_rfc_4231_and_2202() {
        let text = b"what do ya want for nothing?";
        let hex = |hex: &str| {
            let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
            STANDARD.encode(digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect::<Vec<_>>())
        };
        for (algorithm, signature) in [
            (HmacAlgorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (HmacAlgorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ] {
            assert!(is_valid(algorithm, b"Jefe", text, &hex(signature)));
            assert!(!is_valid(algorithm, b"Jefe", b"other", &hex(signature)));
            assert!(!is_valid(algorithm, b"jefe", text, &hex(signature)));
        }
        for wrong in ["", "!", "eA=="] {
            assert!(!is_valid(HmacAlgorithm::Sha256, b"Jefe", text, wrong), "{wrong}");
        }
    }

    #[test]
    fn digests_of_bodies() {
        let empty = b"SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".as_slice();
        for (body, digest, expected) in [
            ("", None, true),
            ("", Some(empty), true),
            ("a", None, false),
            ("a", Some(empty), false),
            ("", Some(b"SHA-256=".as_slice()), false),
            ("", Some(b"sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".as_slice()), false),
        ] {
            assert_eq!(is_digest_of(body.as_bytes(), digest), expected, "{body} {digest:?}");
        }
    }
}
