//! A consumer: a user of services, whom credentials identify.

use model_derive::Record;
use serde_json::{Value, json};
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::text;
use crate::entity::Entity;
use crate::kind;
use crate::record::Check;
use crate::violations::Violations;

/// A consumer. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Consumer {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// Its unique name. A consumer needs this or `custom_id`.
    #[field(unique, longest = bounds::NAME, is = text::identifier)]
    pub username: Option<String>,
    /// Its unique id in another system, such as a database of users.
    #[field(unique, longest = bounds::NAME, is = text::identifier)]
    pub custom_id: Option<String>,
}

impl Check for Consumer {
    fn rules(&self, violations: &mut Violations) {
        if self.username.is_none() && self.custom_id.is_none() {
            violations
                .entity("at least one of these fields must be non-empty: 'custom_id', 'username'");
        }
    }

    fn entity_checks() -> Vec<Value> {
        vec![json!({ "at_least_one_of": ["custom_id", "username"] })]
    }
}

impl Entity for Consumer {
    const KIND: Kind = kind::CONSUMER;
    const NOUN: &'static str = "consumer";
    const ENDPOINT_KEY: Option<&'static str> = Some("username");
}
