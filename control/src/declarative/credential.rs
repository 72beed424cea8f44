//! What documents call the stored fields of API keys.

use model::{Described, HIDDEN, KeyAuthCredential, kind};
use serde_json::{Map, Value};

use uuid::Uuid;

use super::current::Held;
use crate::kinds::credential::hidden_key;
pub(super) use crate::kinds::credential::may_be_shown;

/// Adds the key that is known by its hash alone, hidden, and the seconds from its creation to its expiry.
pub(super) fn complete_dump(kind: &dyn Described, id: Uuid, held: &Held, fields: &mut Map<String, Value>) {
    if kind.kind() != kind::KEYAUTH_CREDENTIAL {
        return;
    }
    let Ok(credential) = serde_json::from_slice::<KeyAuthCredential>(&held.body) else { return };
    let is_shown = fields.get("key").and_then(Value::as_str).is_some_and(|key| key != HIDDEN);
    if credential.hash.is_some() && !is_shown {
        fields.insert("key".to_owned(), hidden_key(id).into());
    }
    if let Some(end) = credential.expires_at {
        let ttl = end.saturating_sub(held.created_at).clamp(1, KeyAuthCredential::MAX_TTL);
        fields.insert("ttl".to_owned(), ttl.into());
    }
}

/// What documents call a field of canonical bytes.
pub(super) fn shown_name(field: &str) -> String {
    match field {
        "hash" | "address" => "key".to_owned(),
        "expires_at" => "ttl".to_owned(),
        field => field.to_owned(),
    }
}
