//! Reads a JSON Web Token in its compact form (RFC 7519, RFC 7515), without trusting anything in it.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::Algorithm;

/// The most bytes of a token.
pub(super) const LONGEST: usize = 16 * 1024;

/// Takes what Kong takes: padding may be there, and the last bits may be any.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A token. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What the signature signs.
    pub(super) signed: &'a [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
    /// The algorithm that the header states.
    pub(super) algorithm: Algorithm,
    /// The fields of the header.
    pub(super) header: Map<String, Value>,
    /// The claims.
    pub(super) claims: Map<String, Value>,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadToken {
    /// It has too many bytes.
    TooLong,
    /// Its header or its claims are no JSON in base64.
    Json,
    /// It states no algorithm, or one that there is not, such as `none`.
    Algorithm,
    /// It has header fields that must be understood (RFC 7515, section 4.1.11). None are.
    Critical,
    /// Its claims are no JSON object.
    Claims,
    /// Its signature is not in base64.
    Signature,
}

impl BadToken {
    /// The message for the client.
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::TooLong => "Bad token; too long",
            Self::Json => "Bad token; invalid JSON",
            Self::Algorithm => "Bad token; invalid alg",
            Self::Critical => "Bad token; invalid crit",
            Self::Claims => "Bad token; invalid claims",
            Self::Signature => "Bad token; invalid signature",
        }
    }
}

impl<'a> Token<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, BadToken> {
        if text.len() > LONGEST {
            return Err(BadToken::TooLong);
        }
        let mut dots = memchr::memchr_iter(b'.', text);
        let (first, second) = dots.next().zip(dots.next()).ok_or(BadToken::Json)?;
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        let header = json(part(0, first))?;
        let claims = json(part(first + 1, second))?;
        let Value::Object(header) = header else { return Err(BadToken::Algorithm) };
        let named = header.get("alg").and_then(Value::as_str);
        let algorithm = named.and_then(super::algorithm).ok_or(BadToken::Algorithm)?;
        if header.contains_key("crit") {
            return Err(BadToken::Critical);
        }
        let Value::Object(claims) = claims else { return Err(BadToken::Claims) };
        let signature = BASE64.decode(part(second + 1, text.len())).map_err(|_| BadToken::Signature)?;
        Ok(Self { signed: part(0, second), signature, algorithm, header, claims })
    }

    /// The value of a claim, or else of a field of the header.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        self.claims.get(name).or_else(|| self.header.get(name)).filter(|value| !value.is_null())
    }
}

/// Decodes base64 of the URL alphabet, with or without padding.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// Decodes a secret of a credential, in base64 of either alphabet.
pub(super) fn decode_secret(text: &[u8]) -> Option<Vec<u8>> {
    let url: Vec<u8> = text
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    decode(&url)
}

fn json(part: &[u8]) -> Result<Value, BadToken> {
    let text = decode(part).ok_or(BadToken::Json)?;
    serde_json::from_slice(&text).map_err(|_| BadToken::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn tokens_that_are_none() {
        let of = |header: &str, claims: &str, signature: &str| {
            format!("{}.{}.{signature}", encode(header), encode(claims))
        };
        let hs = r#"{"alg":"HS256"}"#;
        for (token, expected) in [
            (String::new(), BadToken::Json),
            ("a.b".into(), BadToken::Json),
            ("a.b.c".into(), BadToken::Json),
            (format!("{}.{}", encode(hs), encode("{}")), BadToken::Json),
            (of("{", "{}", ""), BadToken::Json),
            (of(hs, "{", ""), BadToken::Json),
            (of(&"[".repeat(5000), "{}", ""), BadToken::Json),
            (of("7", "{}", ""), BadToken::Algorithm),
            (of("{}", "{}", ""), BadToken::Algorithm),
            (of(r#"{"alg":"none"}"#, "{}", ""), BadToken::Algorithm),
            (of(r#"{"alg":"None"}"#, "{}", ""), BadToken::Algorithm),
            (of(r#"{"alg":"hs256"}"#, "{}", ""), BadToken::Algorithm),
            (of(r#"{"alg":["HS256"]}"#, "{}", ""), BadToken::Algorithm),
            (of(r#"{"alg":"HS256","crit":["exp"]}"#, "{}", ""), BadToken::Critical),
            (of(hs, "7", ""), BadToken::Claims),
            (of(hs, "null", ""), BadToken::Claims),
            (of(hs, "[]", ""), BadToken::Claims),
            (of(hs, "{}", "a.b"), BadToken::Signature),
            (of(hs, "{}", "!"), BadToken::Signature),
            ("a".repeat(LONGEST + 1), BadToken::TooLong),
        ] {
            assert_eq!(Token::parse(token.as_bytes()).err(), Some(expected), "{token}");
        }
    }

    #[test]
    fn fields_are_those_of_the_claims_first() {
        let text = format!(
            "{}.{}.YQ==",
            encode(r#"{"alg":"ES512","kid":"1","a":2}"#),
            encode(r#"{"a":1,"n":null}"#)
        );
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!((token.algorithm, token.signature.as_slice()), (Algorithm::Es512, b"a".as_slice()));
        assert_eq!(token.field("a"), Some(&1.into()));
        assert_eq!(token.field("kid"), Some(&"1".into()));
        assert_eq!((token.field("n"), token.field("b")), (None, None));
        assert_eq!(token.signed, text.strip_suffix(".YQ==").unwrap().as_bytes());
    }
}
