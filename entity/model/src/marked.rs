//! Fields that must be understood, as a hello lists them and as a control plane counts them.

use wire::Kind;

use crate::described::{Described, KINDS, described};
use crate::kind::collection;
use crate::marks::find;
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

#[cfg(test)]
mod tests;
