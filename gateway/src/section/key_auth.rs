//! API keys. There may be a million of them: each holds no more than it must, and a request waits for memory as
//! seldom as possible. The first time that a key is shown its hash is compared; afterwards it is known by its seal,
//! which takes a fraction of the time. Credentials of an older version have no address: their keys are found by the hash.

mod flat;

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Entity, KeyHasher, kind};
use uuid::Uuid;
use wire::Key;

use self::flat::{Addressed, Flat};
use super::{Changes, Consumer, Parts, References, Refusal, Section, Settings, Store, map};
use crate::prefetch::prefetch;

/// The beginning of the hash of an API key. 128 bits tell keys apart.
type ShortHash = [u8; 16];

/// An API key.
#[derive(Clone, Debug)]
pub struct KeyAuthCredential {
    id: Uuid,
    hash: ShortHash,
    address: u32,
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
    address: u32,
    end: End,
    seal: Seal,
    /// The consumer as it was when the credential was linked.
    owner: Arc<Consumer>,
}

/// What [`model::QuickHash::seal`] is of a key that was shown and whose hash was compared; 0 before. `Debug` does not
/// show it.
#[derive(Default)]
struct Seal(AtomicU64);

/// When a key expires.
#[derive(Clone, Copy, Debug)]
struct End {
    /// In seconds since 1970; 0: never. A time after the year 2105 is the last one.
    seconds: u32,
}

/// The API keys. They stand in the table by their addresses, where a request finds the key itself and no pointer to
/// it.
#[derive(Clone, Debug, Default)]
pub struct KeyAuths {
    ids: Flat<Identified>,
    keys: Flat<KnownKey>,
}

/// Where the key with an id is.
#[derive(Clone, Debug)]
struct Identified {
    /// A part of the hash of the id: the id itself is in the key.
    tag: NonZeroU32,
    address: u32,
}

impl KeyAuthCredential {
    /// The field that names the consumer.
    const CONSUMER: &'static str = "consumer";
}

impl KnownKey {
    /// The key of a credential that is linked.
    fn of(credential: &KeyAuthCredential) -> Option<Self> {
        let KeyAuthCredential { id, hash, address, end, .. } = *credential;
        Some(Self { id, hash, address, end, seal: Seal::default(), owner: credential.owner.clone()? })
    }

    fn credential(&self) -> KeyAuthCredential {
        let Self { id, hash, address, end, .. } = *self;
        let owner = self.owner.clone();
        KeyAuthCredential { id, hash, address, end, consumer: owner.id, owner: Some(owner) }
    }

    /// Whether this is the key with a seal. Its hash is asked for if that has not been compared before.
    fn is(&self, seal: u64, hash: impl FnOnce() -> ShortHash) -> bool {
        if self.seal.0.load(Ordering::Relaxed) == seal {
            return true;
        }
        let is_it = self.hash == hash();
        if is_it {
            self.seal.0.store(seal, Ordering::Relaxed);
        }
        is_it
    }

    /// Whether it has expired. `now`, in seconds since 1970, is asked for if it expires at all.
    pub fn has_expired(&self, now: impl FnOnce() -> i64) -> bool {
        self.end.has_come(now)
    }

    /// The consumer, if it has not changed since the credential was linked: else it is looked up. Credentials are
    /// not linked again when their consumer changes, since an index for that would take as much memory as they do.
    pub fn owner(&self) -> Option<&Consumer> {
        Some(&*self.owner).filter(|owner| !owner.is_superseded())
    }

    /// The consumer.
    pub fn consumer(&self) -> Uuid {
        self.owner.id
    }
}

impl KeyAuths {
    /// The key with this text.
    pub fn by_text(&self, hasher: &KeyHasher, text: &[u8]) -> Option<&KnownKey> {
        let quick = hasher.quick(text);
        let hash = || short(&hasher.hash(text));
        let at = |address| self.at(address, |key| key.is(quick.seal, hash));
        at(quick.address).or_else(|| at(address_in(&hash())))
    }

    /// Begins to fetch what [`Self::by_text`] will read first for a key with this address.
    pub fn prefetch_page(&self, address: u32) {
        self.keys.prefetch_page(address);
    }

    /// Begins to fetch the key, once its page is there.
    pub fn prefetch_key(&self, address: u32) {
        self.keys.prefetch_place(address);
    }

    /// Begins to fetch the consumer, once the key is there.
    pub fn prefetch_consumer(&self, address: u32) {
        if let Some(key) = self.at(address, |_| true) {
            prefetch(&*key.owner);
        }
    }

    /// The key with this address for which `is_it`.
    fn at(&self, address: u32, is_it: impl Fn(&KnownKey) -> bool) -> Option<&KnownKey> {
        self.keys.get(address, |key| key.address == address && is_it(key))
    }

    fn by_id(&self, id: &Uuid) -> Option<&KnownKey> {
        let tag = tag(id);
        let key_of = |identified: &Identified| self.at(identified.address, |key| key.id == *id);
        let is_it = |identified: &Identified| identified.tag == tag && key_of(identified).is_some();
        self.ids.get(tag.get(), is_it).and_then(key_of)
    }

    /// The key of a credential that is not there yet.
    fn new_key(&self, credential: &KeyAuthCredential) -> Result<KnownKey, Refusal> {
        // The other one may have been stored without an address. The opposite case is not seen: the control plane does
        // not store a hash twice.
        let addresses = [credential.address, address_in(&credential.hash)];
        if addresses.iter().any(|address| self.at(*address, |key| key.hash == credential.hash).is_some()) {
            return Err(same_key(credential.id));
        }
        // That is checked before entities are linked.
        let without_consumer = || {
            let message = "names a consumer that does not exist";
            Refusal::new(credential.key(), Some(KeyAuthCredential::CONSUMER), message)
        };
        KnownKey::of(credential).ok_or_else(without_consumer)
    }

    fn remove(&mut self, id: &Uuid) {
        let Some(address) = self.by_id(id).map(|key| key.address) else { return };
        let tag = tag(id);
        // Two ids may have the same tag and address. Their entries are equal, so that either may go.
        self.ids.remove(tag.get(), |other| other.tag == tag && other.address == address);
        self.keys.remove(address, |key| key.id == *id);
    }
}

impl Store<KeyAuthCredential> for KeyAuths {
    fn get(&self, id: &Uuid) -> Option<Arc<KeyAuthCredential>> {
        Some(Arc::new(self.by_id(id)?.credential()))
    }

    fn each(&self, mut visit: impl FnMut(&KeyAuthCredential)) {
        self.keys.each(|key| visit(&key.credential()));
    }

    /// Frees the hashes of all that change before it gives them out again: two entities may swap theirs.
    fn apply(&mut self, changes: &Changes<KeyAuthCredential>, _: Settings) -> Result<(), Refusal> {
        changes.keys().for_each(|id| self.remove(id));
        let new = changes.values().flatten().map(|put| self.new_key(put));
        let mut keys = new.collect::<Result<Vec<_>, _>>()?;
        keys.sort_unstable_by_key(|key| (key.hash, key.id));
        if let Some([_, second]) = keys.array_windows().find(|[first, second]| first.hash == second.hash) {
            return Err(same_key(second.id));
        }
        let identified = |key: &KnownKey| Identified { tag: tag(&key.id), address: key.address };
        self.ids.extend(keys.iter().map(identified).collect());
        self.keys.extend(keys);
        Ok(())
    }
}

impl Addressed for KnownKey {
    fn address(&self) -> u32 {
        self.address
    }
}

impl Addressed for Identified {
    fn address(&self) -> u32 {
        self.tag.get()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Clone for Seal {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
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

fn same_key(id: Uuid) -> Refusal {
    let key = Key { kind: model::KeyAuthCredential::KIND, id };
    Refusal::new(key, Some("key"), "another credential has the same key")
}

fn short(hash: &[u8]) -> ShortHash {
    hash.first_chunk().copied().unwrap_or_default()
}

/// The address of a key that was stored without one.
fn address_in(hash: &ShortHash) -> u32 {
    hash.first_chunk().copied().map_or(0, u32::from_le_bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "a part of the hash is enough")]
fn tag(id: &Uuid) -> NonZeroU32 {
    NonZeroU32::new(map::hash(id) as u32).unwrap_or(NonZeroU32::MIN)
}

impl Section for KeyAuthCredential {
    type Entity = model::KeyAuthCredential;

    /// One without a hash identifies nobody: that of its own id, which no request can have, stands in its place.
    fn compile(credential: &model::KeyAuthCredential, _: References) -> Result<Self, Refusal> {
        let of_id = || short(blake3::hash(credential.id.as_bytes()).as_bytes());
        let hash = credential.hash_bytes().map_or_else(of_id, |hash| short(&hash));
        let address = credential.address.unwrap_or_else(|| address_in(&hash));
        let (id, consumer) = (credential.id, credential.consumer);
        Ok(Self { id, hash, address, end: End::of(credential.expires_at), consumer, owner: None })
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
        assert_eq!(size_of::<Option<KnownKey>>(), 56);
        assert_eq!(size_of::<Option<Identified>>(), 8);
    }

    #[test]
    fn hash_is_compared_once() {
        let owner = Consumer::compile(&model::Consumer::default(), References::default()).unwrap();
        let (hash, seal, end) = ([1; 16], Seal::default(), End::of(None));
        let key = KnownKey { id: Uuid::nil(), hash, address: 0, end, seal, owner: Arc::new(owner) };
        assert!(!key.is(7, || [2; 16]));
        assert!(!key.is(7, || [3; 16]));
        assert!(key.is(7, || hash));
        for known in [&key, &key.clone()] {
            assert!(known.is(7, || unreachable!("it was compared before")));
            assert!(!known.is(8, || [2; 16]));
        }
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
