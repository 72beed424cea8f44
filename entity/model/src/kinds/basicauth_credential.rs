//! The user name and the password of a consumer.

use model_derive::Record;
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::text;
use crate::entity::{Credential, Entity};
use crate::kind;
use crate::password;
use crate::private_key::PrivateKey;
use crate::record::Check;

/// A user name and a password. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct BasicAuthCredential {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The consumer whom the password identifies.
    #[field(required, belongs_to(kind::CONSUMER))]
    pub consumer: Uuid,
    /// The user name.
    #[field(required, unique, longest = bounds::NAME, is = text::identifier)]
    pub username: String,
    /// The password. It is stored as a hash.
    #[field(required, secret, longest = bounds::PASSWORD_HASH, is = password::check)]
    pub password: PrivateKey,
}

impl Check for BasicAuthCredential {}

impl Entity for BasicAuthCredential {
    const KIND: Kind = kind::BASICAUTH_CREDENTIAL;
    const NOUN: &'static str = "basic-auth credential";
    const ENDPOINT_KEY: Option<&'static str> = Some("username");
    const CREDENTIAL: Option<Credential> = Some(Credential { collection: "basic-auths", nested: "basic-auth" });
}
