//! An API key of a consumer.

use model_derive::Record;
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::text;
use crate::entity::{Credential, Entity};
use crate::field::HIDDEN;
use crate::kind;
use crate::key_hasher::{self, KeyHasher};
use crate::private_key::PrivateKey;
use crate::record::Check;

/// An API key. Its canonical bytes follow the rules of a [`crate::Service`]. The planes compare hashes alone.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct KeyAuthCredential {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The consumer whom the key identifies.
    #[field(required, belongs_to(kind::CONSUMER))]
    pub consumer: Uuid,
    /// The key. Only where the operator wants keys to be shown, it is kept beside its hash.
    #[field(secret, auto, unique_by_hash, longest = bounds::SECRET, is = text::identifier)]
    pub key: Option<PrivateKey>,
    /// The hash of the key; see [`crate::KeyHasher`]. A credential without one identifies nobody.
    #[field(internal, unique, is = key_hasher::check)]
    pub hash: Option<String>,
    /// Where data planes have the key; see [`crate::QuickHash`]. They find one without it more slowly.
    #[field(internal)]
    pub address: Option<u32>,
    /// When the key expires, in seconds since 1970; null: never.
    #[field(internal, between(0, i64::MAX))]
    pub expires_at: Option<i64>,
}

impl KeyAuthCredential {
    /// The most seconds until a key expires.
    pub const MAX_TTL: i64 = 100_000_000;

    /// A credential of this key, which is not kept.
    pub fn of_key(hasher: &KeyHasher, key: &[u8]) -> Self {
        let (hash, address) = (hasher.hash_text(key), hasher.quick(key).address);
        Self { hash: Some(hash), address: Some(address), ..Self::default() }
    }

    /// The hash of the key.
    pub fn hash_bytes(&self) -> Option<[u8; 32]> {
        self.hash.as_deref().and_then(key_hasher::decode)
    }

    /// Whether the key has expired at a time, in seconds since 1970.
    pub fn has_expired_at(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|end| Self::has_ended(end, now))
    }

    /// Whether a key that expires at `end` has expired: as in Kong, a key of which less than a second is left.
    pub const fn has_ended(end: i64, now: i64) -> bool {
        end.saturating_sub(1) <= now
    }
}

impl Check for KeyAuthCredential {}

impl Entity for KeyAuthCredential {
    const KIND: Kind = kind::KEYAUTH_CREDENTIAL;
    const NOUN: &'static str = "API key";
    const ENDPOINT_KEY: Option<&'static str> = Some("key");
    const CREDENTIAL: Option<Credential> = Some(Credential { collection: "key-auths", nested: "key-auth" });

    /// A key that is not kept is hidden as one that is.
    fn complete_view(&self, view: &mut Map<String, Value>) {
        if self.hash.is_some() {
            view.insert("key".to_owned(), HIDDEN.into());
        }
    }
}
