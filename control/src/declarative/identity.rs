//! How entities without a name and an id are recognised: by their content.
//!
//! A document says nothing about the identity of, say, a certificate without an id. It stands for a current
//! entity of the same content, apart from the time of its creation; a target stands for that of the same text
//! and upstream, a plugin for that of the same name, route, service and consumer. If the document hides the
//! secrets (`***`), the content without secrets decides.

use model::{Described, Field, HIDDEN};
use serde_json::{Map, Value};
use wire::Kind;

/// A digest of the content of an entity.
pub(super) type Digest = (Kind, [u8; 32]);

/// The field that differs although the content is the same.
const CREATED_AT: &str = "created_at";

/// Digests canonical bytes without secrets. Entities that differ in a secret alone are rare enough that any
/// of them may stand for another: the difference is then a change of the secret.
pub(super) fn of_bytes(kind: &dyn Described, body: &[u8]) -> Option<Digest> {
    let fields = serde_json::from_slice(body).ok()?;
    Some(of_fields(kind, fields))
}

/// Whether a document hides a secret of an entity.
pub(super) fn has_hidden(kind: &dyn Described, fields: &Map<String, Value>) -> bool {
    if !kind.may_hold_secrets() {
        return false;
    }
    let mut found = false;
    let visit = &mut |_: &str, value: &mut Value| found |= value.as_str() == Some(HIDDEN);
    kind.each_secret(&mut fields.clone(), visit);
    found
}

/// Whether the value of a field identifies an entity of the kind: those of a key of several fields, or else
/// all but secrets.
fn identifies(kind: &dyn Described, field: &Field) -> bool {
    let together = kind.unique_together();
    let mut keys = kind.fields().iter().filter_map(|key| Some((key.name, key.within()?)));
    match keys.next() {
        Some((key, within)) => [key, within].contains(&field.name),
        None if !together.is_empty() => together.contains(&field.name),
        None => !field.is_secret(),
    }
}

/// Digests the fields of a body, with references resolved, as they would be in canonical bytes.
pub(super) fn of_fields(kind: &dyn Described, mut fields: Map<String, Value>) -> Digest {
    fields.remove(CREATED_AT);
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for field in kind.fields().iter().filter(|field| identifies(kind, field)) {
        if let Some(value) = fields.get(field.name).filter(|value| !value.is_null()) {
            // A body gives a reference as a record, which canonical bytes do not.
            let value = value.get("id").filter(|_| field.foreign().is_some()).unwrap_or(value);
            digest.update(field.name.as_bytes());
            digest.update(&[0]);
            digest.update(value.to_string().as_bytes());
            digest.update(&[0]);
        }
    }
    let digest = digest.finish();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    (kind.kind(), bytes)
}
