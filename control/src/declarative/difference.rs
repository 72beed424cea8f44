//! What makes the current configuration equal to a document.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use model::{Common, Content};
use serde_json::{Map, Value};
use wire::{Key, Kind};

use super::credential;
use super::current::{self, Held};

/// An entity that is created or updated.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its kind.
    pub kind: Kind,
    /// Its id, times and tags.
    pub common: Common,
    /// Its content.
    pub content: Content,
    /// What it replaces.
    pub before: Option<Held>,
}

impl Planned {
    /// The key, and the canonical bytes.
    pub(super) fn given(&self) -> (Key, &[u8]) {
        (Key { kind: self.kind, id: self.common.id }, &self.content.bytes)
    }

    /// Whether the entity is so already.
    pub fn changes_nothing(&self) -> bool {
        let Common { tags, created_at, .. } = &self.common;
        self.before
            .as_ref()
            .is_some_and(|before| before.equals(&self.content.bytes, tags.as_deref(), *created_at))
    }
}

/// The changes of a configuration, in an order in which each reference is valid.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// Entities that are created or updated, by kind: an entity comes after those that it names.
    pub puts: Vec<Planned>,
    /// Entities that are deleted: an entity comes before those that it names.
    pub deletes: Vec<(Key, Held)>,
    /// Entities that stay as they are.
    pub unchanged: usize,
}

/// What happens to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It is created.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
}

/// One change, without any value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What happens.
    pub operation: Operation,
    /// The entity.
    pub key: Key,
    /// Its name.
    pub name: Option<String>,
    /// The fields that an update changes.
    pub fields: Vec<String>,
}

impl Operation {
    /// The word in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl Planned {
    /// Its key.
    pub fn key(&self) -> Key {
        Key { kind: self.kind, id: self.common.id }
    }

    fn summary(&self) -> Summary {
        let (operation, fields) = match &self.before {
            None => (Operation::Create, Vec::new()),
            Some(before) => (Operation::Update, self.changed(before)),
        };
        Summary { operation, key: self.key(), name: name(self.kind, &self.content.bytes), fields }
    }

    fn changed(&self, before: &Held) -> Vec<String> {
        let read = |bytes: &[u8]| serde_json::from_slice::<Map<String, Value>>(bytes).unwrap_or_default();
        let (old, new) = (read(&before.body), read(&self.content.bytes));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let differ = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
        let shown: BTreeSet<String> = differ.map(|name| credential::shown_name(name)).collect();
        let mut fields = Vec::from_iter(shown);
        if before.tags.as_deref().unwrap_or_default() != self.common.tags.as_deref().unwrap_or_default() {
            fields.push("tags".to_owned());
        }
        if before.created_at != self.common.created_at && !fields.iter().any(|field| field == "created_at") {
            fields.push("created_at".to_owned());
        }
        fields
    }
}

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// Puts the changes into an order in which each reference is valid.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.puts.sort_by_key(|put| put.kind);
        self.deletes.sort_unstable_by_key(|(key, _)| Reverse(*key));
        self
    }

    /// The changes, without values.
    pub fn summaries(&self) -> impl Iterator<Item = Summary> {
        let deleted = |(key, held): &(Key, Held)| Summary {
            operation: Operation::Delete,
            key: *key,
            name: name(key.kind, &held.body),
            fields: Vec::new(),
        };
        self.puts.iter().map(Planned::summary).chain(self.deletes.iter().map(deleted))
    }

    /// The number of changes, by kind and operation.
    pub fn counts(&self) -> BTreeMap<(Kind, Operation), usize> {
        let mut counts = BTreeMap::new();
        let puts = self.puts.iter().map(|put| {
            let operation = if put.before.is_some() { Operation::Update } else { Operation::Create };
            (put.kind, operation)
        });
        let deletes = self.deletes.iter().map(|(key, _)| (key.kind, Operation::Delete));
        puts.chain(deletes).for_each(|change| *counts.entry(change).or_insert(0) += 1);
        counts
    }
}

fn name(kind: Kind, body: &[u8]) -> Option<String> {
    model::described(kind).and_then(|kind| current::name(kind, body))
}
