//! Entities: records that have an identity, and what the planes do with one whatever its kind.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::Kind;

use crate::common::Times;
use crate::computed::Computed;
use crate::field::{Field, Level};
use crate::members;
use crate::record::{self, Record, Reference};
use crate::secrets;
use crate::violations::Violations;

/// A record that the list of kinds names. Its id is no part of its canonical bytes.
pub trait Identity {
    /// Its id.
    fn id(&self) -> &Uuid;

    /// Sets its id.
    fn set_id(&mut self, id: Uuid);
}

/// A record with an identity of its own.
pub trait Entity: Record + Identity + Serialize + DeserializeOwned {
    /// Its kind.
    const KIND: Kind;

    /// What messages call an entity of the kind.
    const NOUN: &'static str;

    /// The field by which a path may name an entity, beside its id.
    const ENDPOINT_KEY: Option<&'static str> = None;

    /// Whether it has a collection of its own in the Admin API, beside those below other entities.
    const HAS_COLLECTION: bool = true;

    /// Whether it is what an operator does at run time, and no part of what a declarative configuration,
    /// a dump or an earlier revision describes.
    const OPERATIONAL: bool = false;

    /// The fields whose values no other entity of the kind has together, in the order of messages. Their values
    /// are ids, or texts without a blank.
    const UNIQUE_TOGETHER: &'static [&'static str] = &[];

    /// The unit of the times that the control plane keeps of it.
    const TIMES: Times = Times::Seconds;

    /// What an entity that belongs to a consumer is called in paths; `None` for every other.
    const CREDENTIAL: Option<Credential> = None;

    /// Sets the time of its creation, if the data planes need it.
    fn set_created_at(&mut self, _created_at: i64) {}

    /// Sets what the data planes need of its tags.
    fn set_tags(&mut self, _tags: &[String]) {}

    /// Adds the values that fields of a body imply for others, before the rest is completed. `held` is the
    /// entity that the body changes.
    fn imply(_held: Option<&Self>, _input: &mut Input, _violations: &mut Violations) {}

    /// Puts the fields that a body gives in place of those of an entity, as the Admin API shows it.
    fn merge(shown: &mut Map<String, Value>, given: Map<String, Value>) {
        record::merge(Self::fields(), shown, given);
    }

    /// Brings the fields of a complete body into the form in which the declaration reads them.
    ///
    /// # Errors
    /// Violations with which no other rule can be checked.
    fn prepare(_fields: &mut Map<String, Value>, _violations: &mut Violations) -> Result<(), Violations> {
        Ok(())
    }

    /// Brings the members of canonical bytes into the form in which a document gives them.
    fn unpack(_members: &mut Map<String, Value>) {}

    /// Whether an entity may hold a secret, such as a private key.
    fn may_hold_secrets() -> bool {
        Self::fields().iter().any(Field::may_hold_secrets)
    }

    /// Visits the secrets within the fields of a body or the members of canonical bytes, each with its path.
    fn each_secret(members: &mut Map<String, Value>, visit: &mut dyn FnMut(&str, &mut Value)) {
        secrets::each(Self::fields(), members, "", visit);
    }

    /// Replaces shorthand fields of a body by those that they stand for.
    fn expand(_fields: &mut Map<String, Value>, _violations: &mut Violations) {}

    /// The shorthand fields, with their types in the words of a schema.
    fn shorthands() -> Vec<(&'static str, Map<String, Value>)> {
        Vec::new()
    }

    /// The fields that follow from the content.
    fn computed() -> Vec<Computed<Self>> {
        Vec::new()
    }

    /// The fields of bodies and views that stand for entities of other kinds, which are written with this
    /// one.
    fn companions() -> Vec<Field> {
        Vec::new()
    }

    /// Completes its view by what no field has.
    fn complete_view(&self, _view: &mut Map<String, Value>) {}

    /// Checks the rules of every version, as both planes do.
    ///
    /// # Errors
    /// All rules that it breaks.
    fn validate(&self) -> Result<(), Violations> {
        record::check(self, Level::Rules).into_result()
    }

    /// Checks what is written: the bounds, and then every rule, also those that are narrower for new writes.
    ///
    /// # Errors
    /// All bounds that it exceeds, or all rules that it breaks.
    fn validate_write(&self) -> Result<(), Violations> {
        record::check_written(self).into_result()
    }

    /// The canonical bytes.
    fn canonical(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("records have string keys and no failing serialiser")
    }
}

/// How paths name a kind whose entities belong to consumers: credentials, and groups. Such an entity has no
/// time of its last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The collection of those of all consumers, as in `/key-auths`.
    pub collection: &'static str,
    /// The collection of those of one consumer, as in `/consumers/{consumer}/key-auth`.
    pub nested: &'static str,
}

/// The content of an entity, and what the database keeps beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The canonical bytes.
    pub bytes: Vec<u8>,
    /// The values of unique fields, by name.
    pub unique: Vec<(&'static str, String)>,
    /// The entities that it names.
    pub references: Vec<Reference>,
}

/// A body, as far as it is read.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The fields.
    pub fields: Map<String, Value>,
    /// Whether the body was a form, in which every value is a string.
    pub form: bool,
}

/// Why the canonical bytes of an entity are refused.
#[derive(Debug)]
pub enum Unreadable {
    /// They are not the bytes of an entity of the kind.
    Bytes(serde_json::Error),
    /// They hold this field, which must be understood, and this version does not know it.
    Unsupported(String),
    /// The entity breaks these rules.
    Invalid(Violations),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        match members::unsupported(&error) {
            Some(field) => Self::Unsupported(field),
            None => Self::Bytes(error),
        }
    }
}
