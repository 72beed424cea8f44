//! The entities that a document is not about: their unique values are in use, and what they name must stay.

use std::collections::{HashMap, HashSet};

use model::{Content, Reference};
use wire::{Key, Kind};

use super::budget::{Budget, Spent};

/// Bytes that the record of a value or of a reference takes beside its text.
const OVERHEAD: usize = 120;

/// Their unique values other than names, and their references.
#[derive(Debug, Default)]
pub(super) struct Outside {
    unique: HashMap<(Kind, &'static str), HashSet<String>>,
    references: Vec<(Key, Reference)>,
}

impl Outside {
    pub(super) fn add(&mut self, key: Key, content: Content, budget: &mut Budget) -> Result<(), Spent> {
        for (field, value) in content.unique {
            budget.take(value.len() + OVERHEAD)?;
            self.unique.entry((key.kind, field)).or_default().insert(value);
        }
        budget.take(content.references.len() * OVERHEAD)?;
        self.references.extend(content.references.into_iter().map(|reference| (key, reference)));
        Ok(())
    }

    /// Whether an entity has this value of a unique field.
    pub(super) fn has(&self, kind: Kind, field: &'static str, value: &str) -> bool {
        self.unique.get(&(kind, field)).is_some_and(|values| values.contains(value))
    }

    /// Adds to deleted entities those that belong to them.
    pub(super) fn add_owned(&self, deleted: &mut HashSet<Key>) {
        let mut before = usize::MAX;
        while deleted.len() != before {
            before = deleted.len();
            for (owned, reference) in self.references.iter().filter(|(_, reference)| reference.cascades) {
                if deleted.contains(&reference.to) {
                    deleted.insert(*owned);
                }
            }
        }
    }

    /// The entities that stay and name a deleted one, with that one.
    pub(super) fn naming(&self, deleted: &HashSet<Key>) -> impl Iterator<Item = (Key, Key)> {
        let stay = self.references.iter().filter(|(by, _)| !deleted.contains(by));
        stay.map(|(by, reference)| (*by, reference.to)).filter(|(_, to)| deleted.contains(to))
    }
}
