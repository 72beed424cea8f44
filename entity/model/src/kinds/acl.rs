//! A group of a consumer.

use model_derive::Record;
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::text;
use crate::entity::{Credential, Entity};
use crate::kind;
use crate::record::Check;

/// A group of a consumer, by which services are open to it or not. Its canonical bytes follow the rules of a
/// [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Acl {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The consumer.
    #[field(required, belongs_to(kind::CONSUMER))]
    pub consumer: Uuid,
    /// The name of the group.
    #[field(required, unique_within("consumer"), longest = bounds::NAME, is = text::identifier)]
    pub group: String,
}

impl Check for Acl {}

impl Entity for Acl {
    const KIND: Kind = kind::ACL;
    const NOUN: &'static str = "group of a consumer";
    const CREDENTIAL: Option<Credential> = Some(Credential { collection: "acls", nested: "acls" });
}
