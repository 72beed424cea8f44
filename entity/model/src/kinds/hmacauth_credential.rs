//! The user name and the secret by which the signatures of a consumer are verified.

use model_derive::Record;
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::text;
use crate::entity::{Credential, Entity};
use crate::kind;
use crate::private_key::PrivateKey;
use crate::record::Check;

/// A user name and a secret of signatures. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct HmacAuthCredential {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The consumer whom the signatures identify.
    #[field(required, belongs_to(kind::CONSUMER))]
    pub consumer: Uuid,
    /// The user name.
    #[field(required, unique, longest = bounds::NAME, is = text::identifier)]
    pub username: String,
    /// The secret.
    #[field(secret, auto, longest = bounds::SECRET)]
    pub secret: Option<PrivateKey>,
}

impl Check for HmacAuthCredential {}

impl Entity for HmacAuthCredential {
    const KIND: Kind = kind::HMACAUTH_CREDENTIAL;
    const NOUN: &'static str = "HMAC credential";
    const ENDPOINT_KEY: Option<&'static str> = Some("username");
    const CREDENTIAL: Option<Credential> = Some(Credential { collection: "hmac-auths", nested: "hmac-auth" });
}
