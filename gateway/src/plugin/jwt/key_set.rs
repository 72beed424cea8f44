//! A set of public keys that an issuer publishes (RFC 7517).

use std::sync::Arc;

use serde::Deserialize;

use super::Algorithm;
use super::key::Key;
use super::token::decode;

/// The most keys of a set; further ones are ignored.
const MOST_KEYS: usize = 256;
/// The most keys that are tried for a token that names none.
const MOST_TRIED: usize = 4;
/// The most bytes of a number of an RSA key.
const LONGEST_NUMBER: usize = 8192 / 8;

/// A set of keys.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Published>,
}

/// One key of it.
#[derive(Debug)]
struct Published {
    id: Option<Box<str>>,
    /// The only algorithm that it is for.
    algorithm: Option<Algorithm>,
    key: Arc<Key>,
}

/// The text has no `keys`, or is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no set of keys")]
pub(super) struct NoKeySet;

#[derive(Deserialize)]
struct Text {
    keys: Vec<serde_json::Value>,
}

/// A key as it is published.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys that cannot verify signatures are left out, and so are secrets.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn parse(text: &[u8]) -> Result<Self, NoKeySet> {
        let Text { keys } = serde_json::from_slice(text).map_err(|_| NoKeySet)?;
        let read = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(Self { keys: read.filter_map(Jwk::published).take(MOST_KEYS).collect() })
    }

    /// The keys that may have signed a token with this algorithm, which names the key `id`.
    pub(super) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Arc<Key>> {
        let is_named = move |key: &&Published| id.is_none_or(|id| key.id.as_deref() == Some(id));
        let may_sign = move |key: &&Published| {
            key.key.suits(algorithm) && key.algorithm.is_none_or(|only| only == algorithm)
        };
        self.keys.iter().filter(is_named).filter(may_sign).map(|key| &key.key).take(MOST_TRIED)
    }

    /// Whether it has a key with this name.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }
}

impl Jwk {
    fn published(self) -> Option<Published> {
        if self.r#use.as_deref().is_some_and(|r#use| r#use != "sig") {
            return None;
        }
        let algorithm = match &self.alg {
            Some(name) => Some(super::algorithm(name)?),
            None => None,
        };
        let key = Arc::new(self.key()?);
        Some(Published { id: self.kid.map(Into::into), algorithm, key })
    }

    fn key(&self) -> Option<Key> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let number = |text: &Option<String>| {
                    let number = decode(text.as_deref()?.as_bytes())?;
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    number.get(zeros..).filter(|rest| rest.len() <= LONGEST_NUMBER).map(<[u8]>::to_vec)
                };
                Some(Key::Rsa { modulus: number(&self.n)?, exponent: number(&self.e)? })
            }
            ("EC", Some("P-256")) => self.point(32).map(Key::P256),
            ("EC", Some("P-384")) => self.point(48).map(Key::P384),
            ("EC", Some("P-521")) => self.point(66).map(Key::P521),
            ("OKP", Some("Ed25519")) => decode(self.x.as_deref()?.as_bytes()).map(Key::Ed25519),
            _ => None,
        }
    }

    /// The point of its two coordinates (RFC 7518, section 6.2.1.2).
    fn point(&self, length: usize) -> Option<Vec<u8>> {
        let coordinate =
            |text: &Option<String>| decode(text.as_deref()?.as_bytes()).filter(|x| x.len() == length);
        Some([[4].as_slice(), &coordinate(&self.x)?, &coordinate(&self.y)?].concat())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn rsa(kid: Option<&str>, alg: Option<&str>, r#use: Option<&str>) -> serde_json::Value {
        json!({ "kty": "RSA", "kid": kid, "alg": alg, "use": r#use, "n": "AAEC", "e": "AQAB" })
    }

    fn found(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> usize {
        set.candidates(id, algorithm).count()
    }

    #[test]
    fn keys_are_found_by_name_type_and_algorithm() {
        let x = URL_SAFE_NO_PAD.encode([7; 32]);
        let text = json!({ "keys": [
            rsa(Some("1"), None, Some("sig")),
            rsa(Some("2"), Some("RS256"), None),
            rsa(Some("3"), None, Some("enc")),
            rsa(Some("4"), Some("RSA-OAEP"), None),
            { "kty": "oct", "kid": "5", "k": "c2VjcmV0" },
            { "kty": "EC", "kid": "6", "crv": "P-256", "x": x, "y": x },
            { "kty": "EC", "kid": "7", "crv": "P-384", "x": x, "y": x },
            { "kty": "OKP", "kid": "8", "crv": "Ed25519", "x": x },
            { "kty": 7 },
            "key",
        ] });
        let set = KeySet::parse(text.to_string().as_bytes()).unwrap();
        for (id, algorithm, expected) in [
            (None, Algorithm::Rs256, 2),
            (None, Algorithm::Ps256, 1),
            (Some("1"), Algorithm::Rs512, 1),
            (Some("2"), Algorithm::Rs256, 1),
            (Some("2"), Algorithm::Rs512, 0),
            (Some("1"), Algorithm::Hs256, 0),
            (Some("5"), Algorithm::Hs256, 0),
            (Some("6"), Algorithm::Es256, 1),
            (Some("6"), Algorithm::Es384, 0),
            (Some("7"), Algorithm::Es384, 0),
            (Some("8"), Algorithm::EdDsa, 1),
            (Some("9"), Algorithm::Rs256, 0),
        ] {
            assert_eq!(found(&set, id, algorithm), expected, "{id:?} {algorithm:?}");
        }
        assert!(set.has("8") && !set.has("3") && !set.has("9"));
    }

    #[test]
    fn odd_sets() {
        for bad in ["", "[]", "{}", "7", "{\"keys\":7}"] {
            assert_eq!(KeySet::parse(bad.as_bytes()).err(), Some(NoKeySet), "{bad}");
        }
        let many: Vec<_> = (0..1000).map(|_| rsa(None, None, None)).collect();
        let set = KeySet::parse(json!({ "keys": many }).to_string().as_bytes()).unwrap();
        assert_eq!((set.keys.len(), found(&set, None, Algorithm::Rs256)), (MOST_KEYS, MOST_TRIED));
    }
}
