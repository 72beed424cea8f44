//! Hashes of API keys. The planes hold these and not the keys: who reads a database, a backup or a disk of a
//! data plane learns no key.
//!
//! A data plane that computed an HMAC for each request would spend half of the look-up of a key on it. So there is a
//! hash of another kind, which takes an eighth of the time. With the key of the cluster, texts with a given hash of that
//! kind can be found, so that no more is stored than the 32 bits by which tables place the key.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip128::SipHasher13;

/// Bytes of the key of the hashes, and of a hash.
pub(crate) const LENGTH: usize = 32;

/// What the key of the quick hashes is made for.
const QUICK: &str = "Gibbon 2026-11-28 addresses and seals of API keys";

/// Hashes API keys with the key of the cluster: by HMAC-SHA256, and by SipHash-1-3. `Debug` does not show the key.
#[derive(Clone)]
pub struct KeyHasher {
    mac: Hmac<Sha256>,
    sip: SipHasher13,
}

/// What is known of an API key before its hash is. `Debug` does not show the seal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QuickHash {
    /// Where tables have the key. Credentials hold it.
    pub address: u32,
    /// By this, a data plane knows a key again whose hash it has compared once. Never 0, and never stored: with the key
    /// of the cluster, a text with a given seal can be found.
    pub seal: u64,
}

impl KeyHasher {
    /// A hasher with a key of the cluster in its text form; `None` for a text that is none.
    pub(crate) fn of_text(key: &str) -> Option<Self> {
        let key = decode(key)?;
        let quick = blake3::derive_key(QUICK, &key);
        let sip = SipHasher13::new_with_key(quick.first_chunk()?);
        Some(Self { mac: Hmac::new_from_slice(&key).ok()?, sip })
    }

    /// The hash of an API key.
    pub fn hash(&self, key: &[u8]) -> [u8; LENGTH] {
        self.mac.clone().chain_update(key).finalize().into_bytes().into()
    }

    /// The hash of an API key as credentials hold it: 43 characters.
    pub fn hash_text(&self, key: &[u8]) -> String {
        encode(&self.hash(key))
    }

    /// The quick hash of an API key.
    #[expect(clippy::cast_possible_truncation, reason = "an address has 32 bits")]
    pub fn quick(&self, key: &[u8]) -> QuickHash {
        let hash = self.sip.hash(key);
        QuickHash { address: hash.h2 as u32, seal: hash.h1.max(1) }
    }
}

impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHasher").finish_non_exhaustive()
    }
}

impl fmt::Debug for QuickHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuickHash").field("address", &self.address).finish_non_exhaustive()
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

    /// Stored credentials have addresses of this form: another one would find none of them.
    #[test]
    fn quick_hash_is_pinned() {
        let hasher = KeyHasher::of_text(&encode(&[7; LENGTH])).unwrap();
        let quick = [&b""[..], b"what do ya want for nothing?"].map(|key| hasher.quick(key));
        assert_eq!(quick.map(|quick| quick.address), [107_615_619, 2_789_575_912]);
        assert!(quick[0].seal != quick[1].seal && quick.iter().all(|quick| quick.seal != 0));
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let [one, other] = [1, 2].map(|byte| KeyHasher::of_text(&encode(&[byte; LENGTH])).unwrap());
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        let quick = one.quick(b"key");
        assert!(!format!("{quick:?}").contains(&quick.seal.to_string()));
    }

    #[test]
    fn other_texts_are_no_keys() {
        for text in ["", "AA", &"A".repeat(42), &"A".repeat(44), &"!".repeat(43), &"/".repeat(43)] {
            assert!(check(text).is_err(), "{text}");
        }
        assert_eq!(check(&"A".repeat(43)), Ok(()));
    }
}
