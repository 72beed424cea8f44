//! Credentials of consumers, in the forms in which requests look them up.

use std::borrow::Cow;
use std::sync::Arc;

use model::{JwtAlgorithm, KeyHasher, PrivateKey, kind};
use uuid::Uuid;

use super::{Name, Owned, References, Refusal, Section};

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

fn consumer_of(references: &References) -> Uuid {
    references.to(kind::CONSUMER).next().unwrap_or_default()
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

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
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

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
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

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
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

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
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
