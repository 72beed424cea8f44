//! Entities as a document gives them.

use std::sync::Arc;

use model::Described;
use serde_json::{Map, Value};
use wire::Key;

use super::place::Place;

/// Bytes that a nested entity takes beside its texts while it waits.
pub(super) const CHILD_OVERHEAD: usize = 120;

/// An element of a list of entities.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) fields: Map<String, Value>,
    /// The entities that are nested in it.
    pub(super) children: Vec<Child>,
    /// What is wrong beside the fields, by name; `@entity` for the element itself.
    pub(super) wrong: Vec<(String, &'static str)>,
}

/// An entity, and the one in which it is nested.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) kind: &'static dyn Described,
    pub(super) place: Place,
    /// The field that names the outer entity, and its key.
    pub(super) parent: Option<(&'static str, Key)>,
    pub(super) element: Element,
}

/// A nested entity that waits for the outer one to be complete: its fields as compact JSON.
#[derive(Debug)]
pub(super) struct Child {
    kind: &'static dyn Described,
    field: &'static str,
    index: usize,
    fields: Box<[u8]>,
    children: Vec<Child>,
    wrong: Vec<(String, &'static str)>,
}

impl Child {
    /// The entity of a list; `field` names the outer entity.
    pub(super) fn new(
        kind: &'static dyn Described,
        field: &'static str,
        index: usize,
        element: Element,
    ) -> Self {
        let Element { fields, children, wrong } = element;
        Self { kind, field, index, fields: pack(&fields), children, wrong }
    }

    /// The bytes that it takes, without its children.
    pub(super) fn size(&self) -> usize {
        self.fields.len() + CHILD_OVERHEAD
    }

    /// The entity, once the outer one is known.
    pub(super) fn given(self, outer: &Arc<Place>, key: Key) -> Given {
        let Self { kind, field, index, fields, children, wrong } = self;
        let place = Place { collection: kind.collection(), index, parent: Some(Arc::clone(outer)) };
        let element = Element { fields: unpack(&fields), children, wrong };
        Given { kind, place, parent: Some((field, key)), element }
    }
}

/// Fields as compact JSON.
pub(super) fn pack(fields: &Map<String, Value>) -> Box<[u8]> {
    serde_json::to_vec(fields).unwrap_or_default().into_boxed_slice()
}

/// The fields of compact JSON, as [`pack`] writes it.
pub(super) fn unpack(packed: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(packed).unwrap_or_default()
}
