//! The configuration that a document is compared with.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use model::Described;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use uuid::Uuid;
use wire::{Key, Kind};

use super::budget::{Budget, Spent};
use super::outside::Outside;
use super::{identity, references};

/// Bytes that the record of one entity takes beside its texts.
const OVERHEAD: usize = 250;

/// Which entities a document is about: all, or those that carry all of these tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The tags; none: all entities.
    pub tags: Vec<String>,
}

/// An entity of the current configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its canonical bytes.
    pub body: Bytes,
    /// Its tags.
    pub tags: Option<Vec<String>>,
    /// When it was created, in the unit of its kind.
    pub created_at: i64,
    /// When it was last written.
    pub updated_at: i64,
}

/// The current configuration.
#[derive(Debug)]
pub struct Current {
    selection: Selection,
    entities: HashMap<Key, Entry>,
    names: HashMap<(Kind, String), Uuid>,
    /// The ids of selected entities without a name, by their content.
    contents: HashMap<identity::Digest, Vec<Uuid>>,
    /// Unique values and references of the other entities.
    outside: Outside,
}

#[derive(Debug)]
struct Entry {
    held: Held,
    is_selected: bool,
    is_declared: bool,
}

impl Selection {
    /// Whether a document is about an entity with these tags.
    pub fn has(&self, tags: Option<&[String]>) -> bool {
        self.tags.iter().all(|tag| tags.is_some_and(|tags| tags.contains(tag)))
    }
}

impl Held {
    /// Whether another writing of the entity would change it. The order of tags has no meaning.
    pub(super) fn equals(&self, bytes: &[u8], tags: Option<&[String]>, created_at: i64) -> bool {
        let own = self.tags.as_deref().unwrap_or_default();
        let tags = tags.unwrap_or_default();
        let same_tags = own.len() == tags.len() && tags.iter().all(|tag| own.contains(tag));
        same_tags && self.body == bytes && self.created_at == created_at
    }
}

impl Current {
    /// A configuration without entities.
    pub fn new(selection: Selection) -> Self {
        let (entities, names, contents) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { selection, entities, names, contents, outside: Outside::default() }
    }

    /// Adds an entity, if a document can be about it.
    ///
    /// # Errors
    /// When the budget has no memory for it.
    pub fn add(&mut self, key: Key, held: Held, budget: &mut Budget) -> Result<(), Spent> {
        let tags: usize = held.tags.iter().flatten().map(|tag| tag.len() + 24).sum();
        budget.take(held.body.len() + tags + OVERHEAD)?;
        // What operators do at run time is no part of a document.
        if model::is_operational(key.kind) {
            return Ok(());
        }
        let described = model::described(key.kind);
        // A document of this version cannot have entities of a kind that this version does not know.
        let is_selected = described.is_some() && self.selection.has(held.tags.as_deref());
        if let Some(kind) = described {
            match unique_name(kind, &held.body) {
                Some(name) => drop(self.names.insert((key.kind, name), key.id)),
                None if is_selected => self.add_content(kind, key.id, &held.body),
                None => {}
            }
            // What this version cannot read names nothing. Names are noted above.
            if let (false, Ok(mut content)) = (is_selected, kind.content(&held.body)) {
                content.unique.retain(|(field, _)| Some(*field) != references::stored_naming_field(kind));
                self.outside.add(key, content, budget)?;
            }
        }
        self.entities.insert(key, Entry { held, is_selected, is_declared: false });
        Ok(())
    }

    fn add_content(&mut self, kind: &dyn Described, id: Uuid, body: &[u8]) {
        let digest = identity::of_bytes(kind, body);
        digest.into_iter().for_each(|digest| self.contents.entry(digest).or_default().push(id));
    }

    /// The tags that select entities.
    pub(super) fn selection(&self) -> &Selection {
        &self.selection
    }

    pub(super) fn get(&self, key: Key) -> Option<&Held> {
        self.entities.get(&key).map(|entry| &entry.held)
    }

    /// The entity with a name.
    pub(super) fn named(&self, kind: Kind, name: &str) -> Option<Uuid> {
        self.names.get(&(kind, name.to_owned())).copied()
    }

    /// A selected entity without a name that has this content and is not declared yet.
    pub(super) fn of_content(&mut self, kind: Kind, digest: identity::Digest) -> Option<Uuid> {
        let ids = self.contents.get_mut(&digest)?;
        let free =
            |id: &Uuid| self.entities.get(&Key { kind, id: *id }).is_some_and(|entry| !entry.is_declared);
        let at = ids.iter().position(free)?;
        Some(ids.swap_remove(at))
    }

    /// Whether any selected entity has no name.
    pub(super) fn has_contents(&self) -> bool {
        !self.contents.is_empty()
    }

    /// Whether the entity exists and the document is not about it.
    pub(super) fn is_outside(&self, key: Key) -> bool {
        self.entities.get(&key).is_some_and(|entry| !entry.is_selected)
    }

    /// Notes that the document has the entity.
    pub(super) fn declare(&mut self, key: Key) {
        if let Some(entry) = self.entities.get_mut(&key) {
            entry.is_declared = true;
        }
    }

    /// Unique values and references of the entities that the document is not about.
    pub(super) fn outside(&self) -> &Outside {
        &self.outside
    }

    /// The entities to delete: the selected ones that the document does not have, and what belongs to them.
    pub(super) fn undeclared(&self) -> HashSet<Key> {
        // A document of Kong has no setting of the router: it keeps the present one.
        let is_gone = |key: &Key, entry: &Entry| {
            entry.is_selected && !entry.is_declared && key.kind != model::kind::ROUTER
        };
        let gone = self.entities.iter().filter(|(key, entry)| is_gone(key, entry));
        let mut gone = gone.map(|(key, _)| *key).collect();
        self.outside.add_owned(&mut gone);
        gone
    }
}

/// The name of an entity: the value of the field by which paths name entities of its kind. `None` if that is
/// a secret.
pub(super) fn name(kind: &dyn Described, body: &[u8]) -> Option<String> {
    let field = kind.endpoint_key().filter(|field| !references::is_secret(kind, field))?;
    text_of(body, field)
}

/// The name of an entity in the form in which it identifies one of its kind; `None` for one whose name
/// identifies it only together with what it belongs to.
fn unique_name(kind: &dyn Described, body: &[u8]) -> Option<String> {
    let stored = references::stored_naming_field(kind)?;
    let name = text_of(body, stored).or_else(|| references::default_name(kind, stored))?;
    Some(if kind.endpoint_key() == Some(stored) { references::canonical(kind, &name) } else { name })
}

fn text_of(body: &[u8], field: &'static str) -> Option<String> {
    let mut from = serde_json::Deserializer::from_slice(body);
    Name { field }.deserialize(&mut from).ok().flatten()
}

/// Reads one text field of a record, and skips the others.
struct Name {
    field: &'static str,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Option<String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match key == self.field {
                true => found = map.next_value()?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}
