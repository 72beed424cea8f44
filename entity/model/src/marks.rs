//! Fields that must be understood, as a hello lists them and as a control plane counts them.

use serde_json::Value;
use wire::Kind;

use crate::described::{Described, KINDS, described};
use crate::field::Field;
use crate::kind::collection;
use crate::members::MARK;

/// The fields of all kinds that must be understood and that this version knows, such as `services.order`.
pub fn must_understand_fields() -> Vec<String> {
    let mut found = Vec::new();
    KINDS.iter().for_each(|kind| find(kind.fields(), None, kind.collection(), &mut found));
    found
}

/// The fields that must be understood and that these canonical bytes hold, each once. Fields that this
/// version does not know are among them; in an unknown kind, only those of the entity itself. Most entities
/// hold none, and cost no more than a look for the mark.
pub fn marked_fields(kind: Kind, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    if bytes.contains(&MARK)
        && let Ok(value) = serde_json::from_slice(bytes)
    {
        let fields = described(kind).map_or(&[][..], Described::fields);
        find(fields, Some(&value), &collection(kind), &mut found);
        found.sort_unstable();
        found.dedup();
    }
    found
}

/// Adds the marked fields of a record: those in `value`, or without a value all that are declared.
pub(crate) fn find(fields: &[Field], value: Option<&Value>, path: &str, found: &mut Vec<String>) {
    let Some(value) = value else {
        for field in fields {
            let path = format!("{path}.{}", field.name);
            if field.must_understand() {
                found.push(path.clone());
            }
            (field.marks)(None, &path, found);
        }
        return;
    };
    for (member, value) in value.as_object().into_iter().flatten() {
        let marked = member.strip_prefix(char::from(MARK));
        let name = marked.unwrap_or(member);
        let path = format!("{path}.{name}");
        if let Some(field) = fields.iter().find(|field| field.name == name) {
            (field.marks)(Some(value), &path, found);
        }
        if marked.is_some() {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests;
