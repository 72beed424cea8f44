//! API keys. There may be a million of them: each holds no more than it must, and a request waits for memory as
//! seldom as possible.

mod flat;

use std::borrow::Cow;
use std::sync::Arc;

use model::{Entity, KeyHasher, kind};
use uuid::Uuid;
use wire::Key;

use self::flat::Flat;
use super::{Changes, Consumer, Parts, References, Refusal, Section, Settings, Store, map};
use crate::probing::Hashed;

/// The beginning of the hash of an API key. 96 bits tell keys apart.
pub(crate) type ShortHash = [u8; 12];

/// An API key.
#[derive(Clone, Debug)]
pub struct KeyAuthCredential {
    id: Uuid,
    hash: ShortHash,
    end: End,
    consumer: Uuid,
    /// The consumer, once the credential is linked.
    owner: Option<Arc<Consumer>>,
}

/// An API key as it stands in the table.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// The id of the credential.
    pub id: Uuid,
    hash: ShortHash,
    end: End,
    /// The consumer as it was when the credential was linked.
    owner: Arc<Consumer>,
}

/// When a key expires.
#[derive(Clone, Copy, Debug)]
struct End {
    /// In seconds since 1970; 0: never. A time after the year 2105 is the last one.
    seconds: u32,
}

/// The API keys. They stand in the table by their hashes, where a request finds the key itself and no pointer to it.
#[derive(Clone, Debug, Default)]
pub struct KeyAuths {
    ids: Flat<Identified>,
    keys: Flat<KnownKey>,
}

/// Which key has an id.
#[derive(Clone, Debug)]
struct Identified {
    id: Uuid,
    hash: ShortHash,
}

impl KeyAuthCredential {
    /// The field that names the consumer.
    const CONSUMER: &'static str = "consumer";

    /// The hash by which a key is looked up.
    pub fn hash_of(hasher: &KeyHasher, key: &[u8]) -> ShortHash {
        short(&hasher.hash(key))
    }
}

impl KnownKey {
    /// The key of a credential that is linked.
    fn of(credential: &KeyAuthCredential) -> Option<Self> {
        let KeyAuthCredential { id, hash, end, .. } = *credential;
        Some(Self { id, hash, end, owner: credential.owner.clone()? })
    }

    fn credential(&self) -> KeyAuthCredential {
        let Self { id, hash, end, owner } = self.clone();
        KeyAuthCredential { id, hash, end, consumer: owner.id, owner: Some(owner) }
    }

    /// Whether it has expired. `now`, in seconds since 1970, is asked for if it expires at all.
    pub fn has_expired(&self, now: impl FnOnce() -> i64) -> bool {
        self.end.has_come(now)
    }

    /// The consumer, if it has not changed since the credential was linked: else it is looked up. Credentials are
    /// not linked again when their consumer changes, since an index for that would take as much memory as they do.
    pub fn owner(&self) -> Option<&Arc<Consumer>> {
        Some(&self.owner).filter(|owner| !owner.is_superseded())
    }

    /// The consumer.
    pub fn consumer(&self) -> Uuid {
        self.owner.id
    }
}

impl KeyAuths {
    /// The key with this hash.
    pub fn by_hash(&self, hash: &ShortHash) -> Option<&KnownKey> {
        self.keys.get(number(hash), |key| key.hash == *hash)
    }

    fn insert(&mut self, credential: &KeyAuthCredential) -> Result<(), Refusal> {
        let refusal = |field, message| Err(Refusal::new(credential.key(), Some(field), message));
        if self.by_hash(&credential.hash).is_some() {
            return refusal("key", "another credential has the same key");
        }
        // That is checked before entities are linked.
        let Some(key) = KnownKey::of(credential) else {
            return refusal(KeyAuthCredential::CONSUMER, "names a consumer that does not exist");
        };
        self.ids.insert(Identified { id: key.id, hash: key.hash });
        self.keys.insert(key);
        Ok(())
    }

    fn remove(&mut self, id: &Uuid) {
        let removed = self.ids.remove(map::hash(id), |identified| identified.id == *id);
        if let Some(Identified { hash, .. }) = removed {
            self.keys.remove(number(&hash), |key| key.hash == hash);
        }
    }
}

impl Store<KeyAuthCredential> for KeyAuths {
    fn get(&self, id: &Uuid) -> Option<Arc<KeyAuthCredential>> {
        let Identified { hash, .. } = self.ids.get(map::hash(id), |identified| identified.id == *id)?;
        Some(Arc::new(self.by_hash(hash)?.credential()))
    }

    fn each(&self, mut visit: impl FnMut(&KeyAuthCredential)) {
        self.keys.each(|key| visit(&key.credential()));
    }

    /// Frees the hashes of all that change before it gives them out again: two entities may swap theirs.
    fn apply(&mut self, changes: &Changes<KeyAuthCredential>, _: Settings) -> Result<(), Refusal> {
        changes.keys().for_each(|id| self.remove(id));
        changes.values().flatten().try_for_each(|put| self.insert(put))
    }
}

impl Hashed for KnownKey {
    fn hash(&self) -> u64 {
        number(&self.hash)
    }
}

impl Hashed for Identified {
    fn hash(&self) -> u64 {
        map::hash(&self.id)
    }
}

impl End {
    fn of(seconds: Option<i64>) -> Self {
        Self { seconds: seconds.map_or(0, |end| u32::try_from(end.max(1)).unwrap_or(u32::MAX)) }
    }

    fn has_come(self, now: impl FnOnce() -> i64) -> bool {
        self.seconds != 0 && model::KeyAuthCredential::has_ended(self.seconds.into(), now())
    }
}

fn short(hash: &[u8]) -> ShortHash {
    hash.first_chunk().copied().unwrap_or_default()
}

fn number(hash: &ShortHash) -> u64 {
    hash.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

impl Section for KeyAuthCredential {
    type Entity = model::KeyAuthCredential;

    /// One without a hash identifies nobody: that of its own id, which no request can have, stands in its place.
    fn compile(credential: &model::KeyAuthCredential, _: References) -> Result<Self, Refusal> {
        let of_id = || short(blake3::hash(credential.id.as_bytes()).as_bytes());
        let hash = credential.hash_bytes().map_or_else(of_id, |hash| short(&hash));
        let (id, consumer) = (credential.id, credential.consumer);
        Ok(Self { id, hash, end: End::of(credential.expires_at), consumer, owner: None })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> Cow<'_, References> {
        let to = Key { kind: kind::CONSUMER, id: self.consumer };
        Cow::Owned(References::one(model::KeyAuthCredential::KIND, Self::CONSUMER, to))
    }

    fn link(batch: &mut [&mut Arc<Self>], parts: &Parts<'_>) -> Result<(), Refusal> {
        for credential in batch {
            let owner = parts.consumers.by_id(&credential.consumer).cloned();
            Arc::make_mut(credential).owner = owner;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_takes_few_bytes() {
        assert_eq!(size_of::<Option<KnownKey>>(), 40);
        assert_eq!(size_of::<Option<Identified>>(), 29);
    }

    #[test]
    fn key_expires_when_the_model_says() {
        for end in [None, Some(0), Some(1), Some(2_000_000_000), Some(i64::from(u32::MAX))] {
            let credential =
                model::KeyAuthCredential { expires_at: end, ..model::KeyAuthCredential::default() };
            for now in [0, 1, 1_999_999_998, 1_999_999_999, 2_000_000_000, i64::from(u32::MAX) - 2] {
                let expected = credential.has_expired_at(now);
                assert_eq!(End::of(end).has_come(|| now), expected, "{end:?} {now}");
            }
        }
    }
}
