//! Which entities may be nested in which: those with a field that names one entity of the other's kind.

use std::sync::LazyLock;

use model::{Described, KINDS};
use wire::Kind;

/// A collection that may be nested in an entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nested {
    /// The kind of the nested entities.
    pub(super) kind: &'static dyn Described,
    /// Their field that names the entity in which they stand.
    pub(super) field: &'static str,
}

/// By the kind of the outer entity.
static NESTED: LazyLock<Vec<(Kind, Nested)>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for kind in KINDS.iter().copied().filter(|kind| !kind.is_operational()) {
        for field in kind.fields() {
            all.extend(field.foreign().map(|target| (target.kind, Nested { kind, field: field.name })));
        }
    }
    all
});

/// Finds the collection `name` in entities of `outer`. A field of the entity itself comes first.
pub(super) fn nested(outer: &'static dyn Described, name: &str) -> Option<Nested> {
    if outer.fields().iter().any(|field| field.name == name) {
        return None;
    }
    let found =
        NESTED.iter().find(|(kind, nested)| *kind == outer.kind() && nested.kind.collection() == name);
    found.map(|(_, nested)| *nested)
}
