//! The key of the hashes of API keys.

use model_derive::Record;
use uuid::Uuid;
use wire::Kind;

use crate::entity::Entity;
use crate::key_hasher::{self, KeyHasher};
use crate::kind;
use crate::private_key::PrivateKey;
use crate::record::Check;

/// The key of the hashes of API keys; see [`crate::KeyHasher`]. The first API key of a cluster is written
/// together with it, and it never changes: no hash would match any more. Its canonical bytes follow the rules
/// of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct HashKey {
    /// Identity: [`HashKey::ID`].
    #[field(skip)]
    pub id: Uuid,
    /// 32 random bytes in base64url, without padding.
    #[field(required, secret, is = key_hasher::check)]
    pub key: PrivateKey,
}

impl HashKey {
    /// The only id: of two control planes that make a key at once, one fails.
    pub const ID: Uuid = Uuid::from_u128(0x6861_7368_6b65_4879_8000_0000_0000_0001);

    /// The key of these random bytes.
    pub fn of_bytes(bytes: &[u8; 32]) -> Self {
        Self { id: Self::ID, key: key_hasher::encode(bytes).into() }
    }
}

impl KeyHasher {
    /// A hasher with this key; `None` if its text is none.
    pub fn new(key: &HashKey) -> Option<Self> {
        Self::of_text(key.key.expose())
    }
}

impl Check for HashKey {}

impl Entity for HashKey {
    const KIND: Kind = kind::HASH_KEY;
    const NOUN: &'static str = "key of hashes";
    const HAS_COLLECTION: bool = false;
    const OPERATIONAL: bool = true;
}
