//! Credentials of consumers, in the forms in which requests look them up. There may be a million API keys: each
//! holds no more than it must.

use std::sync::Arc;

use model::{JwtAlgorithm, KeyHasher, PrivateKey, kind};
use uuid::Uuid;

use super::{Consumer, Name, Owned, Parts, References, Refusal, Section, Store};

/// The beginning of the hash of an API key. 96 bits tell keys apart.
pub(crate) type ShortHash = [u8; 12];

/// An API key.
#[derive(Clone, Debug)]
pub struct KeyAuthCredential {
    id: Uuid,
    hash: ShortHash,
    /// In seconds since 1970; 0: never. A time after the year 2105 is the last one.
    expires_at: u32,
    references: References,
    /// The consumer as it was when the credential was linked.
    owner: Option<Arc<Consumer>>,
}

/// A name and the hash of a password.
#[derive(Clone, Debug)]
pub struct BasicAuthCredential {
    /// Identity.
    pub id: Uuid,
    /// The name.
    pub username: Box<str>,
    /// The hash of the password, in one of the two forms of `model`.
    pub password: PrivateKey,
    references: References,
}

/// A key that signs tokens.
#[derive(Clone, Debug)]
pub struct JwtSecret {
    /// Identity.
    pub id: Uuid,
    /// What tokens name it by.
    pub key: Box<str>,
    /// The secret of HMAC.
    pub secret: Option<PrivateKey>,
    /// The public key, as PEM.
    pub public_key: Option<Box<str>>,
    /// The algorithm of its signatures.
    pub algorithm: JwtAlgorithm,
    references: References,
}

/// A name and a secret that sign requests.
#[derive(Clone, Debug)]
pub struct HmacAuthCredential {
    /// Identity.
    pub id: Uuid,
    /// The name.
    pub username: Box<str>,
    /// The secret.
    pub secret: PrivateKey,
    references: References,
}

/// That a consumer belongs to a group.
#[derive(Clone, Debug)]
pub struct Acl {
    id: Uuid,
    /// The group.
    pub group: Box<str>,
    references: References,
}

/// The key of the hashes of API keys.
#[derive(Clone, Debug)]
pub struct HashKey {
    id: Uuid,
    /// Hashes API keys.
    pub hasher: Arc<KeyHasher>,
}

impl KeyAuthCredential {
    /// The hash by which a key is looked up.
    pub fn hash_of(hasher: &KeyHasher, key: &[u8]) -> ShortHash {
        short(&hasher.hash(key))
    }

    /// Whether it has expired at a time, in seconds since 1970.
    pub fn has_expired_at(&self, now: i64) -> bool {
        self.expires_at != 0 && model::KeyAuthCredential::has_ended(self.expires_at.into(), now)
    }

    /// The consumer, if it has not changed since the credential was linked: else it is looked up. Credentials are
    /// not linked again when their consumer changes, since an index for that would take as much memory as they do.
    pub fn owner(&self) -> Option<&Arc<Consumer>> {
        self.owner.as_ref().filter(|owner| !owner.is_superseded())
    }

    /// The consumer.
    pub fn consumer(&self) -> Uuid {
        consumer_of(&self.references)
    }
}

fn short(hash: &[u8]) -> ShortHash {
    hash.first_chunk().copied().unwrap_or_default()
}

fn consumer_of(references: &References) -> Uuid {
    references.to(kind::CONSUMER).next().unwrap_or_default()
}

impl Section for KeyAuthCredential {
    type Entity = model::KeyAuthCredential;

    /// One without a hash identifies nobody: that of its own id, which no request can have, stands in its place.
    fn compile(credential: &model::KeyAuthCredential, references: References) -> Result<Self, Refusal> {
        let of_id = || short(blake3::hash(credential.id.as_bytes()).as_bytes());
        let hash = credential.hash_bytes().map_or_else(of_id, |hash| short(&hash));
        let seconds = |end: i64| u32::try_from(end.max(1)).unwrap_or(u32::MAX);
        let expires_at = credential.expires_at.map_or(0, seconds);
        Ok(Self { id: credential.id, hash, expires_at, references, owner: None })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> &References {
        &self.references
    }

    fn link(batch: &mut [&mut Arc<Self>], parts: &Parts<'_>) -> Result<(), Refusal> {
        for credential in batch {
            let owner = parts.consumers.get(&credential.consumer()).cloned();
            Arc::make_mut(credential).owner = owner;
        }
        Ok(())
    }
}

impl Name for KeyAuthCredential {
    type Key = ShortHash;

    const FIELD: &'static str = "key";

    fn name(&self) -> Option<&ShortHash> {
        Some(&self.hash)
    }
}

impl Section for BasicAuthCredential {
    type Entity = model::BasicAuthCredential;

    fn compile(credential: &model::BasicAuthCredential, references: References) -> Result<Self, Refusal> {
        let username = credential.username.as_str().into();
        Ok(Self { id: credential.id, username, password: credential.password.clone(), references })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> &References {
        &self.references
    }
}

impl Name for BasicAuthCredential {
    type Key = str;

    const FIELD: &'static str = "username";

    fn name(&self) -> Option<&str> {
        Some(&self.username)
    }
}

impl BasicAuthCredential {
    /// The consumer.
    pub fn consumer(&self) -> Uuid {
        consumer_of(&self.references)
    }
}

impl Section for JwtSecret {
    type Entity = model::JwtSecret;

    fn compile(credential: &model::JwtSecret, references: References) -> Result<Self, Refusal> {
        Ok(Self {
            id: credential.id,
            key: credential.key.as_deref().unwrap_or_default().into(),
            secret: credential.secret.clone(),
            public_key: credential.rsa_public_key.as_deref().map(Into::into),
            algorithm: credential.algorithm,
            references,
        })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> &References {
        &self.references
    }
}

impl Name for JwtSecret {
    type Key = str;

    const FIELD: &'static str = "key";

    fn name(&self) -> Option<&str> {
        Some(&*self.key).filter(|key| !key.is_empty())
    }
}

impl JwtSecret {
    /// The consumer.
    pub fn consumer(&self) -> Uuid {
        consumer_of(&self.references)
    }
}

impl Section for HmacAuthCredential {
    type Entity = model::HmacAuthCredential;

    fn compile(credential: &model::HmacAuthCredential, references: References) -> Result<Self, Refusal> {
        let secret = credential.secret.clone().unwrap_or_default();
        Ok(Self { id: credential.id, username: credential.username.as_str().into(), secret, references })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> &References {
        &self.references
    }
}

impl Name for HmacAuthCredential {
    type Key = str;

    const FIELD: &'static str = "username";

    fn name(&self) -> Option<&str> {
        Some(&self.username)
    }
}

impl HmacAuthCredential {
    /// The consumer.
    pub fn consumer(&self) -> Uuid {
        consumer_of(&self.references)
    }
}

impl Section for Acl {
    type Entity = model::Acl;

    fn compile(acl: &model::Acl, references: References) -> Result<Self, Refusal> {
        Ok(Self { id: acl.id, group: acl.group.as_str().into(), references })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> &References {
        &self.references
    }
}

impl Owned for Acl {
    fn owner(&self) -> Uuid {
        consumer_of(&self.references)
    }
}

impl Section for HashKey {
    type Entity = model::HashKey;

    fn compile(key: &model::HashKey, _: References) -> Result<Self, Refusal> {
        let hasher = KeyHasher::new(key)
            .ok_or_else(|| Refusal::new(model::HashKey::key(key.id), Some("key"), "is no key of 32 bytes"))?;
        Ok(Self { id: key.id, hasher: Arc::new(hasher) })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_takes_one_line_of_the_cache_and_its_counts() {
        assert_eq!(size_of::<KeyAuthCredential>(), 64);
    }

    #[test]
    fn key_expires_when_the_model_says() {
        for end in [None, Some(0), Some(1), Some(2_000_000_000), Some(i64::from(u32::MAX))] {
            let credential =
                model::KeyAuthCredential { expires_at: end, ..model::KeyAuthCredential::default() };
            let compiled = KeyAuthCredential::compile(&credential, References::NONE).unwrap();
            for now in [0, 1, 1_999_999_998, 1_999_999_999, 2_000_000_000, i64::from(u32::MAX) - 2] {
                let expected = credential.has_expired_at(now);
                assert_eq!(compiled.has_expired_at(now), expected, "{end:?} {now}");
            }
        }
    }
}
