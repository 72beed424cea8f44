//! The form of an entity before a change, as the change log keeps it: with it the configuration of an
//! earlier revision can be read. It holds no secret.

use serde::{Deserialize, Serialize};
use wire::Key;

use super::document::{Document, text};

/// An entity before a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Before {
    /// The canonical bytes, with [`model::HIDDEN`] in place of each secret; of an entity in which this version
    /// does not find the secrets, in place of all.
    body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<String>>,
    created_at: i64,
    updated_at: i64,
}

impl Before {
    pub(super) fn of(document: &Document) -> Self {
        let Document { key, body, tags, created_at, updated_at } = document;
        let hidden = || model::described(key.kind).and_then(|kind| kind.without_secrets(body).ok());
        let body = match model::may_hold_secrets(key.kind) {
            true => hidden().map_or_else(|| model::HIDDEN.to_owned(), |hidden| text(&hidden)),
            false => text(body),
        };
        Self { body, tags: tags.clone(), created_at: *created_at, updated_at: *updated_at }
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers have a form in JSON")
    }

    /// Reads what [`Before::to_text`] wrote.
    pub(super) fn read(key: Key, text: &str) -> Option<Document> {
        let Self { body, tags, created_at, updated_at } = serde_json::from_str(text).ok()?;
        Some(Document { key, body: body.into_bytes().into(), tags, created_at, updated_at })
    }
}
