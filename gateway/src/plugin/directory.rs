//! The consumers of one configuration, and what they authenticate with.

use std::sync::{Arc, LazyLock};

use uuid::Uuid;

use crate::section::{
    Acl, BasicAuthCredential, ByOwner, Consumer, HmacAuthCredential, JwtSecret, KeyAuths, KnownKey, Names,
};

/// The consumers of one configuration, and what they authenticate with. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// The consumers.
    pub consumers: Names<Consumer>,
    /// API keys.
    pub key_auths: KeyAuths,
    /// Names with passwords.
    pub basic_auths: Names<BasicAuthCredential>,
    /// Keys of tokens.
    pub jwts: Names<JwtSecret>,
    /// Names with secrets that sign requests.
    pub hmac_auths: Names<HmacAuthCredential>,
    /// The groups of consumers.
    pub acls: ByOwner<Acl>,
    /// What hashes API keys; none while there is no key.
    pub hasher: Option<Arc<model::KeyHasher>>,
}

/// With what a request was authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The id of the credential.
    pub id: Uuid,
    /// What the upstream gets to know of it, no secret; `None`: the id.
    pub identifier: Option<Box<str>>,
    /// The consumer's id.
    pub consumer: Option<Uuid>,
}

impl Directory {
    /// One without consumers.
    pub fn none() -> &'static Self {
        static NONE: LazyLock<Directory> = LazyLock::new(Directory::default);
        &NONE
    }

    /// A consumer.
    pub fn consumer(&self, id: &Uuid) -> Option<&Consumer> {
        self.consumers.by_id(id).map(AsRef::as_ref)
    }

    /// The consumer of an API key.
    pub fn owner_of<'a>(&'a self, key: &'a KnownKey) -> Option<&'a Consumer> {
        key.owner().or_else(|| self.consumer(&key.consumer()))
    }

    /// The consumer that a configuration names: by its id, or by its name.
    pub fn consumer_named(&self, text: &str) -> Option<&Consumer> {
        let by_id = Uuid::try_parse(text).ok().and_then(|id| self.consumer(&id));
        by_id.or_else(|| self.consumers.by_name(text).map(AsRef::as_ref))
    }

    /// The API key that a request shows, unless it has expired. `now` is in seconds since 1970.
    pub fn key_auth(&self, key: &[u8], now: impl FnOnce() -> i64) -> Option<&KnownKey> {
        let key = self.key_auths.by_text(self.hasher.as_ref()?, key);
        key.filter(|key| !key.has_expired(now))
    }

    /// The credential with this name, for a password.
    pub fn basic_auth(&self, username: &str) -> Option<&Arc<BasicAuthCredential>> {
        self.basic_auths.by_name(username)
    }

    /// The key that a token names.
    pub fn jwt(&self, key: &str) -> Option<&Arc<JwtSecret>> {
        self.jwts.by_name(key)
    }

    /// The credential with this name, for a signature.
    pub fn hmac_auth(&self, username: &str) -> Option<&Arc<HmacAuthCredential>> {
        self.hmac_auths.by_name(username)
    }

    /// The groups of a consumer.
    pub fn groups(&self, consumer: &Uuid) -> impl Iterator<Item = &str> {
        self.acls.of(consumer).iter().map(|acl| &*acl.group)
    }
}
