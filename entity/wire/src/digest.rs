//! Hashes of a configuration: one for each entity, one for each of 256 buckets, one root.
//!
//! - An entity's hash is the first 128 bits of BLAKE3 over kind, id and canonical bytes. A receiver hashes
//!   the bytes as it received them; it never serialises them again.
//! - An entity's bucket is the first byte of BLAKE3 over kind and id. Ids that somebody numbered by hand
//!   therefore spread as random ones do.
//! - A bucket's hash is BLAKE3 over kind, id and hash of its entities in the order of their keys. The hash of
//!   an empty bucket is zero.
//! - The root is BLAKE3 over the 256 bucket hashes. The root of an empty configuration is zero.
//!
//! One change costs one entity, one bucket and the root: at 100,000 entities about 20 KiB are hashed.

mod entities;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Key, Kind};
use entities::Entities;

/// Number of buckets.
pub const BUCKETS: usize = 256;

/// Bytes of an entity in the input of a bucket's hash.
const ENTRY: usize = 1 + 16 + 16;
/// Bytes that a bucket's hash takes at once: BLAKE3 is many times faster on portions of this size than on single
/// entries, and they fit into the nearest cache.
const PORTION: usize = 16 * 1024;

/// The hash of one entity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EntityHash(pub [u8; 16]);

/// The hash of a bucket or of the whole configuration; written as 64 hex digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Root(pub [u8; 32]);

/// A set of buckets: a bit each, the lowest bit of the first byte for bucket 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketSet(pub [u8; BUCKETS / 8]);

/// The hashes of a configuration, kept up to date change by change.
#[derive(Clone, Debug)]
pub struct Digest {
    buckets: Vec<Bucket>,
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    entities: Entities,
    /// `None` after a change, until the hash is needed.
    hash: Option<Root>,
}

impl EntityHash {
    /// The hash of the entity `key` with these canonical bytes.
    pub fn of(key: Key, bytes: &[u8]) -> Self {
        let mut hasher = key_hasher(key);
        hasher.update(bytes);
        let mut hash = [0; 16];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(hash)
    }
}

impl BucketSet {
    /// The buckets whose hashes differ between two lists.
    pub fn differing(ours: &[Root], theirs: &[Root]) -> Self {
        let mut set = Self::default();
        for bucket in (0..BUCKETS).filter(|bucket| ours.get(*bucket) != theirs.get(*bucket)) {
            set.0[bucket / 8] |= 1 << (bucket % 8);
        }
        set
    }

    /// The buckets that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut both = *self;
        both.0.iter_mut().zip(other.0).for_each(|(byte, more)| *byte |= more);
        both
    }

    /// Whether a bucket is in the set.
    pub const fn contains(&self, bucket: usize) -> bool {
        self.0[bucket / 8] & (1 << (bucket % 8)) != 0
    }

    /// The buckets in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..BUCKETS).filter(|bucket| self.contains(*bucket))
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Digest {
    /// The digest of an empty configuration.
    pub fn new() -> Self {
        Self { buckets: vec![Bucket::default(); BUCKETS], len: 0 }
    }

    /// Number of entities.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts (`Some`) or removes (`None`) the hash of an entity. Returns the previous one: setting that again
    /// undoes the change.
    pub fn set(&mut self, key: Key, hash: Option<EntityHash>) -> Option<EntityHash> {
        let bucket = &mut self.buckets[bucket_of(key)];
        bucket.hash = None;
        let before = match hash {
            Some(hash) => bucket.entities.insert(key, hash),
            None => bucket.entities.remove(key),
        };
        self.len = self.len + usize::from(hash.is_some()) - usize::from(before.is_some());
        before
    }

    /// Whether the digest holds the entity.
    pub fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    /// The hash of an entity, if the digest holds it.
    pub fn get(&self, key: Key) -> Option<EntityHash> {
        self.buckets[bucket_of(key)].entities.get(key)
    }

    /// Whether an entity of one of the kinds is here, and is missing or has another form in `next`.
    pub fn has_beyond(&self, next: &Self, kinds: impl Fn(Kind) -> bool) -> bool {
        let entities = self.buckets.iter().flat_map(|bucket| bucket.entities.iter());
        entities.filter(|(key, _)| kinds(key.kind)).any(|(key, hash)| next.get(*key) != Some(*hash))
    }

    /// The keys of all entities, bucket by bucket.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        (0..BUCKETS).flat_map(move |bucket| self.bucket_keys(bucket))
    }

    /// The keys of one bucket.
    pub fn bucket_keys(&self, bucket: usize) -> impl Iterator<Item = Key> {
        self.buckets[bucket].entities.iter().map(|(key, _)| *key)
    }

    /// The bucket hashes, in order.
    pub fn buckets(&mut self) -> Vec<Root> {
        self.buckets.iter_mut().map(Bucket::hash).collect()
    }

    /// The root.
    pub fn root(&mut self) -> Root {
        if self.is_empty() {
            return Root::default();
        }
        let mut hasher = blake3::Hasher::new();
        for bucket in &mut self.buckets {
            hasher.update(&bucket.hash().0);
        }
        Root(*hasher.finalize().as_bytes())
    }
}

impl Bucket {
    fn hash(&mut self) -> Root {
        let entities = &self.entities;
        *self.hash.get_or_insert_with(|| {
            if entities.is_empty() {
                return Root::default();
            }
            let (mut hasher, mut portion) = (blake3::Hasher::new(), Vec::with_capacity(PORTION + ENTRY));
            for (key, hash) in entities.iter() {
                portion.push(key.kind.0);
                portion.extend_from_slice(key.id.as_bytes());
                portion.extend_from_slice(&hash.0);
                if portion.len() >= PORTION {
                    hasher.update(&portion[..PORTION]);
                    portion.drain(..PORTION);
                }
            }
            Root(*hasher.update(&portion).finalize().as_bytes())
        })
    }
}

/// The bucket that the entity `key` belongs to.
pub fn bucket_of(key: Key) -> usize {
    usize::from(key_hasher(key).finalize().as_bytes()[0])
}

fn key_hasher(key: Key) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[key.kind.0]);
    hasher.update(key.id.as_bytes());
    hasher
}

impl Root {
    /// The hash that an operator sees: the first 128 bits of the root, as 32 hex digits.
    pub fn config_hash(&self) -> String {
        hex(&self.0[..16])
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({self})")
    }
}

impl fmt::Debug for EntityHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityHash({})", hex(&self.0))
    }
}

impl std::str::FromStr for Root {
    type Err = RootParseError;

    fn from_str(text: &str) -> Result<Self, RootParseError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(RootParseError);
        }
        let mut root = [0; 32];
        for (byte, pair) in root.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
        }
        Ok(Self(root))
    }
}

/// Text that is not a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hex digits")]
pub struct RootParseError;

impl Serialize for Root {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn digit(byte: u8) -> Result<u8, RootParseError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(RootParseError),
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn key(n: u8) -> Key {
        Key { kind: Kind(2), id: Uuid::from_u128(u128::from(n)) }
    }

    #[test]
    fn empty_is_zero_and_numbered_ids_spread() {
        assert_eq!(Digest::new().root().config_hash(), "0".repeat(32));
        let used: std::collections::BTreeSet<_> = (0..=255).map(|n| bucket_of(key(n))).collect();
        assert!(used.len() > 128, "{} buckets of 256", used.len());
    }

    #[test]
    fn differing_buckets_are_found() {
        let (mut ours, mut theirs) = (Digest::new(), Digest::new());
        ours.set(key(1), Some(EntityHash::of(key(1), b"{}")));
        theirs.set(key(2), Some(EntityHash::of(key(2), b"{}")));
        let mut expected = vec![bucket_of(key(1)), bucket_of(key(2))];
        expected.sort_unstable();
        let found = BucketSet::differing(&ours.buckets(), &theirs.buckets());
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn hash_of_a_bucket_is_that_of_its_entities_in_one_piece() {
        for count in [1_u32, 496, 497, 2000] {
            let (mut bucket, mut input) = (Bucket::default(), Vec::new());
            for number in (0..count).map(u128::from) {
                let key = Key { kind: Kind(2), id: Uuid::from_u128(number) };
                let hash = EntityHash::of(key, b"{}");
                bucket.entities.insert(key, hash);
                input.extend([&[2][..], key.id.as_bytes(), &hash.0].concat());
            }
            assert_eq!(bucket.hash(), Root(*blake3::hash(&input).as_bytes()), "{count}");
        }
    }

    #[test]
    fn text_form_round_trips() {
        let mut digest = Digest::new();
        digest.set(key(1), Some(EntityHash::of(key(1), b"{}")));
        let root = digest.root();
        assert_eq!(root.to_string().parse(), Ok(root));
        assert_eq!("xyz".parse::<Root>(), Err(RootParseError));
    }

    proptest! {
        /// However a configuration was reached, its root is the same; and undo restores it.
        #[test]
        fn root_depends_on_what_is_held_alone(
            edits in proptest::collection::vec((any::<u8>(), proptest::option::of(any::<[u8; 4]>())), 0..60)
        ) {
            let mut digest = Digest::new();
            let mut model = BTreeMap::new();
            for (id, value) in edits {
                let before = digest.root();
                let hash = value.map(|value| EntityHash::of(key(id), &value));
                let old = digest.set(key(id), hash);
                digest.set(key(id), old);
                prop_assert_eq!(digest.root(), before);
                digest.set(key(id), hash);
                match value {
                    Some(value) => model.insert(id, value),
                    None => model.remove(&id),
                };
                prop_assert_eq!(digest.len(), model.len());
            }
            let mut fresh = Digest::new();
            for (id, value) in model.iter().rev() {
                fresh.set(key(*id), Some(EntityHash::of(key(*id), value)));
            }
            prop_assert_eq!(fresh.root(), digest.root());
            prop_assert_eq!(fresh.buckets(), digest.buckets());
        }
    }
}
