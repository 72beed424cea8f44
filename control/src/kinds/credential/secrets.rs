//! How secrets of credentials are stored, for one request or one document.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::{Common, Content, Entity, HashKey, KeyAuthCredential, KeyHasher, kind};

use crate::store::{self, Draft};

/// Passwords that one document may give in clear. Each costs about 20 ms.
const PASSWORDS: usize = 2000;

/// How secrets of credentials are stored.
#[derive(Debug)]
pub struct Secrets {
    hasher: KeyHasher,
    /// The key of the hashes, if none is stored yet.
    new_key: Option<HashKey>,
    /// Whether API keys are kept beside their hashes.
    keeps_keys: bool,
    /// Whether passwords are hashed. The check of a body needs no hash.
    hashes_passwords: bool,
    /// Passwords in clear that may still be given.
    passwords_left: AtomicUsize,
}

impl Secrets {
    /// Secrets of a cluster whose key of hashes has these canonical bytes; without one, a new key is made.
    pub fn new(stored: Option<&[u8]>, keeps_keys: bool) -> Self {
        let stored = stored.and_then(|bytes| serde_json::from_slice::<HashKey>(bytes).ok());
        let (hasher, new_key) = match stored.as_ref().and_then(KeyHasher::new) {
            Some(hasher) => (hasher, None),
            None => {
                let key = HashKey::of_bytes(&rand::random());
                (KeyHasher::new(&key).expect("32 bytes are a key"), Some(key))
            }
        };
        let passwords_left = AtomicUsize::new(PASSWORDS);
        Self { hasher, new_key, keeps_keys, hashes_passwords: true, passwords_left }
    }

    /// Secrets of a body that is checked and not written.
    pub fn of_a_check() -> Self {
        Self { hashes_passwords: false, ..Self::new(None, false) }
    }

    /// The hash of an API key.
    pub fn hash(&self, key: &str) -> String {
        self.hasher.hash_text(key.as_bytes())
    }

    /// What stands in place of an API key.
    pub(super) fn hashed(&self, key: &str) -> KeyAuthCredential {
        KeyAuthCredential::of_key(&self.hasher, key.as_bytes())
    }

    /// The key of the hashes, to be written together with the first hash; `None` if one is stored.
    pub fn new_key(&self) -> Option<Draft> {
        let key = self.new_key.as_ref()?;
        let now = store::now();
        let common = Common { id: HashKey::ID, created_at: now, updated_at: now, tags: None };
        let content = Content { bytes: key.canonical(), unique: Vec::new(), references: Vec::new() };
        Some(Draft::new(kind::HASH_KEY, common, content))
    }

    pub(super) const fn keeps_keys(&self) -> bool {
        self.keeps_keys
    }

    pub(super) const fn hashes_passwords(&self) -> bool {
        self.hashes_passwords
    }

    /// Counts a password in clear.
    ///
    /// # Errors
    /// When there were too many.
    pub(super) fn count_password(&self) -> Result<(), String> {
        let left = |left: usize| left.checked_sub(1);
        match self.passwords_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
            Ok(_) => Ok(()),
            Err(_) => Err(format!(
                "the document gives more than {PASSWORDS} passwords in clear; give the hashes of others"
            )),
        }
    }
}
