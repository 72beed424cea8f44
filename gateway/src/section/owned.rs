//! Entities that belong to another one each, and are looked up all at once by that one.

use std::sync::Arc;

use uuid::Uuid;

use super::{ById, Changes, KeyOf, Map, Refusal, Section, Settings, Store};

/// A compiled entity that belongs to another one.
pub trait Owned: Section {
    /// The id of the entity that it belongs to.
    fn owner(&self) -> Uuid;
}

/// Compiled entities by id, and by the entity that they belong to. Both maps hold the same values.
#[derive(Debug)]
pub struct ByOwner<T> {
    by_id: Map<T, ById>,
    by_owner: Map<Belongings<T>, OwnerId>,
}

/// The entities that belong to one other.
#[derive(Debug)]
struct Belongings<T> {
    owner: Uuid,
    /// Sorted by id.
    all: Vec<Arc<T>>,
}

/// Keys a map by owners.
#[derive(Clone, Copy, Debug)]
struct OwnerId;

impl<T> KeyOf<Belongings<T>> for OwnerId {
    type Key = Uuid;

    fn key(value: &Belongings<T>) -> &Uuid {
        &value.owner
    }
}

impl<T: Owned> ByOwner<T> {
    /// The entities that belong to `owner`, sorted by id.
    pub fn of(&self, owner: &Uuid) -> &[Arc<T>] {
        self.by_owner.get(owner).map_or(&[], |belongings| &belongings.all)
    }

    fn insert(&mut self, entity: &Arc<T>) {
        let owner = entity.owner();
        let belongings = self.by_owner.edit(&owner, || Belongings { owner, all: Vec::new() });
        match belongings.all.binary_search_by_key(entity.id(), |other| *other.id()) {
            Ok(at) => belongings.all[at] = entity.clone(),
            Err(at) => belongings.all.insert(at, entity.clone()),
        }
        self.by_id.insert(entity.clone());
    }

    fn remove(&mut self, id: &Uuid) {
        let Some(removed) = self.by_id.remove(id) else { return };
        let owner = removed.owner();
        let belongings = self.by_owner.edit(&owner, || Belongings { owner, all: Vec::new() });
        belongings.all.retain(|other| other.id() != id);
        if belongings.all.is_empty() {
            self.by_owner.remove(&owner);
        }
    }
}

impl<T: Owned> Store<T> for ByOwner<T> {
    fn get(&self, id: &Uuid) -> Option<Arc<T>> {
        self.by_id.get(id).cloned()
    }

    fn each(&self, mut visit: impl FnMut(&T)) {
        self.by_id.each(|entity| visit(entity));
    }

    fn apply(&mut self, changes: &Changes<T>, _: Settings) -> Result<(), Refusal> {
        for (id, change) in changes {
            self.remove(id);
            change.iter().for_each(|entity| self.insert(entity));
        }
        Ok(())
    }
}

impl<T> Clone for Belongings<T> {
    fn clone(&self) -> Self {
        Self { owner: self.owner, all: self.all.clone() }
    }
}

impl<T> Clone for ByOwner<T> {
    fn clone(&self) -> Self {
        Self { by_id: self.by_id.clone(), by_owner: self.by_owner.clone() }
    }
}

impl<T> Default for ByOwner<T> {
    fn default() -> Self {
        Self { by_id: Map::default(), by_owner: Map::default() }
    }
}
