//! Entities that are looked up by a name, or another key, which only one of them can have.

use std::hash::Hash;
use std::sync::Arc;

use uuid::Uuid;

use super::{ById, Changes, KeyOf, Map, Refusal, Section, Settings, Store};

/// A compiled entity that requests find by a name.
pub trait Name: Section {
    /// The form in which it is looked up.
    type Key: ?Sized + Hash + PartialEq;

    /// The field with the name.
    const FIELD: &'static str;

    /// The name; `None`: it is found by its id alone.
    fn name(&self) -> Option<&Self::Key>;
}

/// Compiled entities by id and by name. Both maps hold the same values.
#[derive(Debug)]
pub struct Names<T> {
    by_id: Map<T, ById>,
    by_name: Map<T, ByName>,
}

/// Keys a map by the names of entities.
#[derive(Clone, Copy, Debug)]
pub struct ByName;

/// A map by names has no entity without one.
impl<T: Name> KeyOf<T> for ByName {
    type Key = T::Key;

    fn key(value: &T) -> &T::Key {
        value.name().expect("an entity without a name is not put in a map by names")
    }
}

impl<T: Name> Names<T> {
    /// The entity with this id.
    pub fn by_id(&self, id: &Uuid) -> Option<&Arc<T>> {
        self.by_id.get(id)
    }

    /// The entity with this name.
    pub fn by_name(&self, name: &T::Key) -> Option<&Arc<T>> {
        self.by_name.get(name)
    }
}

impl<T: Name> Store<T> for Names<T> {
    fn get(&self, id: &Uuid) -> Option<Arc<T>> {
        self.by_id.get(id).cloned()
    }

    fn each(&self, mut visit: impl FnMut(&T)) {
        self.by_id.each(|entity| visit(entity));
    }

    /// Frees the names of all that change before it gives them out again: two entities may swap theirs.
    fn apply(&mut self, changes: &Changes<T>, _: Settings) -> Result<(), Refusal> {
        for id in changes.keys() {
            if let Some(before) = self.by_id.remove(id)
                && let Some(name) = before.name()
            {
                self.by_name.remove(name);
            }
        }
        for put in changes.values().flatten() {
            if put.name().is_some() && self.by_name.insert(put.clone()).is_some() {
                let message = format!("another one has the name {}, too", put.label());
                return Err(Refusal::new(put.key(), Some(T::FIELD), message));
            }
            self.by_id.insert(put.clone());
        }
        Ok(())
    }
}

// Derived implementations would require `T: Default` and `T: Clone`.
impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { by_id: Map::default(), by_name: Map::default() }
    }
}

impl<T> Clone for Names<T> {
    fn clone(&self) -> Self {
        Self { by_id: self.by_id.clone(), by_name: self.by_name.clone() }
    }
}
