//! Hashes of API keys. The planes hold these and not the keys: who reads a database, a backup or a disk of a
//! data plane learns no key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of the key of the hashes, and of a hash.
pub(crate) const LENGTH: usize = 32;

/// Hashes API keys by HMAC-SHA256 with the key of the cluster. `Debug` does not show the key.
#[derive(Clone, Debug)]
pub struct KeyHasher(Hmac<Sha256>);

impl KeyHasher {
    /// A hasher with a key of the cluster in its text form; `None` for a text that is none.
    pub(crate) fn of_text(key: &str) -> Option<Self> {
        Hmac::new_from_slice(&decode(key)?).ok().map(Self)
    }

    /// The hash of an API key.
    pub fn hash(&self, key: &[u8]) -> [u8; LENGTH] {
        self.0.clone().chain_update(key).finalize().into_bytes().into()
    }

    /// The hash of an API key as credentials hold it: 43 characters.
    pub fn hash_text(&self, key: &[u8]) -> String {
        encode(&self.hash(key))
    }
}

/// Writes a key of the cluster or a hash: base64url (RFC 4648, section 5) without padding.
pub(crate) fn encode(bytes: &[u8; LENGTH]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads what [`encode`] writes.
pub(crate) fn decode(text: &str) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == LENGTH).then_some(bytes)
}

/// Checks that a text is one that [`encode`] writes.
pub(crate) fn check(text: &str) -> Result<(), String> {
    decode(text).map(drop).ok_or_else(|| "expected 32 bytes in base64url".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_hmac_of_rfc_4231() {
        // Test case 2 has a key of 4 bytes; HMAC fills it up with zeros.
        let mut key = [0; LENGTH];
        key[..4].copy_from_slice(b"Jefe");
        let hasher = KeyHasher::of_text(&encode(&key)).unwrap();
        let hash = hasher.hash(b"what do ya want for nothing?");
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let text = hasher.hash_text(b"what do ya want for nothing?");
        assert_eq!((text.len(), decode(&text)), (43, Some(hash)));
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let [one, other] = [1, 2].map(|byte| KeyHasher::of_text(&encode(&[byte; LENGTH])).unwrap());
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "AA", &"A".repeat(42), &"A".repeat(44), &"!".repeat(43), &"/".repeat(43)] {
            assert!(check(text).is_err(), "{text}");
        }
        assert_eq!(check(&"A".repeat(43)), Ok(()));
    }
}
