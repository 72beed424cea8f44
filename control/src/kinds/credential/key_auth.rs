//! API keys: their hashes, and when they expire.

use model::{Content, Described, Entity, HIDDEN, KeyAuthCredential, Map, Value, Violations, kind};

use uuid::Uuid;

use super::ReadContext;
use crate::store::Document;

/// The option of a body that gives the seconds until a key expires.
const TTL: &str = "ttl";

/// What stands in place of the key of a credential. Each has its own: decK identifies API keys by their texts.
pub fn hidden_key(id: Uuid) -> String {
    format!("{HIDDEN}-{id}")
}

/// Replaces what stands in place of the key of this credential by the common mark of hidden secrets.
pub fn unmark(kind: &dyn Described, fields: &mut Map, id: Uuid) {
    if kind.kind() == kind::KEYAUTH_CREDENTIAL
        && let Some(key) = fields.get_mut("key")
        && key.as_str().is_some_and(|text| text == hidden_key(id))
    {
        *key = HIDDEN.into();
    }
}

/// Reads the time to live of a body, in seconds.
///
/// # Errors
/// The reason why it is wrong.
pub fn check_ttl(value: &Value, form: bool) -> Result<i64, &'static str> {
    let number = match value {
        Value::Number(number) => whole(number),
        Value::String(text) if form => text.parse().ok(),
        _ => None,
    };
    let in_range = number.filter(|seconds| (0..=KeyAuthCredential::MAX_TTL).contains(seconds));
    in_range.ok_or("must be an integer between 0 and 100000000")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a number with a fraction is none, a large one is out of range"
)]
fn whole(number: &serde_json::Number) -> Option<i64> {
    number
        .as_i64()
        .or_else(|| number.as_f64().filter(|number| number.fract() == 0.0).map(|number| number as i64))
}

/// The seconds that a stored key has left, rounded down; `None` if it does not expire. `now` is in milliseconds
/// since 1970.
pub fn remaining(credential: &[u8], now: i64) -> Option<i64> {
    let end = entity(credential)?.expires_at?;
    Some((end.saturating_mul(1000) - now).div_euclid(1000))
}

/// Whether a document is a key that has expired at `now`, in seconds since 1970.
pub fn has_expired(document: &Document, now: i64) -> bool {
    document.key.kind == kind::KEYAUTH_CREDENTIAL
        && entity(&document.body).is_some_and(|credential| credential.has_expired_at(now))
}

/// Makes the fields of an earlier form of a key, with its secrets hidden, those of a form that can be stored:
/// its hash identifies it. The key itself is that of `held`, if that has the same hash, or not kept; an address that
/// an older version did not store is that of `held`, too.
pub fn restored(fields: &mut Map, held: Option<&[u8]>) {
    let hash = fields.get("hash").and_then(Value::as_str);
    let held = held.and_then(entity).filter(|held| held.hash.as_deref() == hash);
    // In the order of canonical bytes: a form that is that of now is no change.
    if let Some(address) = held.as_ref().and_then(|held| held.address)
        && !fields.contains_key("address")
        && let Some(at) = fields.keys().position(|name| name == "hash")
    {
        fields.shift_insert(at + 1, "address".to_owned(), address.into());
    }
    if fields.get("key").and_then(Value::as_str) != Some(HIDDEN) {
        return;
    }
    match held.and_then(|held| held.key) {
        Some(key) => drop(fields.insert("key".to_owned(), key.expose().into())),
        None => drop(fields.shift_remove("key")),
    }
}

/// Whether a key is stored.
pub(super) fn holds_key(held: Option<&[u8]>) -> bool {
    held.and_then(entity).is_some_and(|credential| credential.hash.is_some())
}

pub(super) fn take_ttl(fields: &mut Map, violations: &mut Violations) -> Option<i64> {
    let value = fields.shift_remove(TTL).filter(|value| !value.is_null())?;
    // Texts of forms were checked before: a form has no other values.
    check_ttl(&value, true).map_err(|message| violations.field(TTL, message)).ok()
}

/// Replaces the key by its hash.
pub(super) fn complete(
    kind: &dyn Described,
    content: &Content,
    ttl: Option<i64>,
    context: &ReadContext<'_>,
) -> Content {
    let mut credential: KeyAuthCredential = crate::kinds::entity(content);
    let held = context.held.and_then(entity);
    let hidden = credential.key.as_ref().is_some_and(|key| key.expose() == HIDDEN);
    if let (true, Some(held)) = (hidden, &held) {
        credential.key.clone_from(&held.key);
    }
    let hashed = match (&credential.key, &held) {
        (Some(key), _) if key.expose() != HIDDEN => context.secrets.hashed(key.expose()),
        (_, Some(held)) if hidden => held.clone(),
        _ => KeyAuthCredential::default(),
    };
    (credential.hash, credential.address) = (hashed.hash, hashed.address);
    credential.key = credential.key.filter(|_| context.secrets.keeps_keys());
    credential.expires_at = match ttl {
        None if context.keeps_expiry => held.and_then(|held| held.expires_at),
        None | Some(0) => None,
        Some(seconds) => Some(context.ttl_from.saturating_add(seconds)),
    };
    kind.content(&credential.canonical()).expect("the canonical bytes of a record are those of one")
}

fn entity(bytes: &[u8]) -> Option<KeyAuthCredential> {
    serde_json::from_slice(bytes).ok()
}
