//! Why a change of the configuration is refused.

use model::Violations;
use wire::Key;

use crate::upstream::Unusable;

/// Why changes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Refusal {
    /// The entity that it is about.
    pub key: Key,
    /// The field that it is about, if it is about one.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Refusal {
    pub(super) fn route(route: &model::Route, field: &str, message: impl ToString) -> Self {
        Self::new(model::Route::key(route.id), Some(field), message)
    }

    pub(super) fn new(key: Key, field: Option<&str>, message: impl ToString) -> Self {
        Self { key, field: field.map(str::to_owned), message: message.to_string() }
    }

    /// The first rule that is broken names the field; the message has them all.
    pub(super) fn invalid(key: Key, violations: &Violations) -> Self {
        Self::new(key, violations.fields.keys().next().map(String::as_str), violations)
    }
}

impl From<Unusable> for Refusal {
    fn from(unusable: Unusable) -> Self {
        Self::new(unusable.key, Some(unusable.field), unusable.message)
    }
}
