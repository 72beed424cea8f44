//! Where an entity stands in a document.

use std::fmt;
use std::sync::Arc;

/// An element of a list, at the top of a document or in an entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The collection.
    pub(super) collection: &'static str,
    /// The index in the list, from 0.
    pub(super) index: usize,
    /// The entity in which the list stands.
    pub(super) parent: Option<Arc<Place>>,
}

impl Place {
    /// An element of a list at the top of a document.
    pub(super) fn top(collection: &'static str, index: usize) -> Self {
        Self { collection, index, parent: None }
    }
}

impl fmt::Display for Place {
    /// `services.1.routes.2`: elements are counted from 1, as an operator counts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = &self.parent {
            write!(f, "{parent}.")?;
        }
        write!(f, "{}.{}", self.collection, self.index + 1)
    }
}
