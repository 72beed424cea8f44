//! Why a change of the configuration is refused.

use model::Violations;
use wire::Key;

use crate::upstream::Unusable;

/// Why changes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}/{}: {message}", model::collection(key.kind), key.id)]
pub struct Refusal {
    /// The entity that it is about.
    pub key: Key,
    /// The field that it is about, if it is about one.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Whether a later version may accept it: this one does not know what must be understood.
    pub unsupported: bool,
}

impl Refusal {
    /// A refusal for what `message` says about the entity, or about one field of it.
    pub fn new(key: Key, field: Option<&str>, message: impl ToString) -> Self {
        let (field, message) = (field.map(str::to_owned), message.to_string());
        Self { key, field, message, unsupported: false }
    }

    /// An entity of a kind, or with a field, that must be understood and that this program does not know.
    pub fn unsupported(key: Key, field: Option<&str>) -> Self {
        let what = match field {
            Some(field) => format!("its field \"{field}\""),
            None => model::collection(key.kind),
        };
        let message = format!("this program does not know {what}, which must be understood");
        Self { unsupported: true, ..Self::new(key, field, message) }
    }

    /// The first rule that is broken names the field; the message has them all.
    pub fn invalid(key: Key, violations: &Violations) -> Self {
        Self::new(key, violations.fields.keys().next().map(String::as_str), violations)
    }
}

impl From<Unusable> for Refusal {
    fn from(unusable: Unusable) -> Self {
        Self::new(unusable.key, Some(unusable.field), unusable.message)
    }
}
