//! Writes a configuration in the form in which it is read.
//!
//! The order is stable: by kind, then by name or, without one, by id. Fields at their default are left out,
//! secrets are hidden, except those of credentials if the operator wants them to be shown. With ids, each entity has its id and the time of its creation, and references are by
//! id. Without them, entities and references have names instead; an entity without a name has its id in any
//! case, since nothing else would identify it.

use std::collections::HashMap;
use std::io::Write;

use model::{Described, Field, KINDS};
use serde::ser::{Error, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use wire::{Key, Kind};

use super::credential;
use super::current::{self, Held};
use super::format::Format;
use super::header::{FORMAT, INFO};

/// How a configuration is written.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    /// Whether entities have their ids and times.
    pub with_ids: bool,
    /// The tags that all of the entities carry.
    pub select_tags: Vec<String>,
    /// Whether the secrets of credentials are written.
    pub show_secrets: bool,
}

/// A configuration that is to be written.
#[derive(Debug)]
pub struct Dump {
    options: DumpOptions,
    entities: HashMap<Kind, Vec<Entry>>,
    /// The names of entities, for references.
    names: HashMap<Key, String>,
}

#[derive(Debug)]
struct Entry {
    id: Uuid,
    name: Option<String>,
    held: Held,
}

impl Entry {
    fn order(&self) -> impl Ord + '_ {
        (self.name.is_none(), self.name.as_deref(), self.id)
    }
}

impl Dump {
    /// Takes the entities of a configuration. All of them are needed for their names; those without the
    /// selected tags are not written.
    pub fn new(options: DumpOptions, entities: impl Iterator<Item = (Key, Held)>) -> Self {
        let selection = current::Selection { tags: options.select_tags.clone() };
        let mut dump = Self { options, entities: HashMap::new(), names: HashMap::new() };
        for (key, held) in entities.filter(|(key, _)| !model::is_operational(key.kind)) {
            let name = model::described(key.kind).and_then(|kind| current::name(kind, &held.body));
            if let (Some(name), false) = (&name, dump.options.with_ids) {
                dump.names.insert(key, name.clone());
            }
            if selection.has(held.tags.as_deref()) {
                dump.entities.entry(key.kind).or_default().push(Entry { id: key.id, name, held });
            }
        }
        for entries in dump.entities.values_mut() {
            entries.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
        }
        dump
    }

    /// Writes the document.
    ///
    /// # Errors
    /// When it cannot be written, or an entity cannot be read.
    pub fn write(&self, format: Format, mut out: impl Write) -> std::io::Result<()> {
        match format {
            Format::Json => {
                serde_json::to_writer(&mut out, self)?;
                out.write_all(b"\n")
            }
            Format::Yaml => serde_saphyr::to_io_writer(&mut out, self).map_err(std::io::Error::other),
        }
    }

    /// The fields of an entity as they are written.
    fn fields(&self, kind: &dyn Described, entry: &Entry) -> Result<Map<String, Value>, serde_json::Error> {
        let mut held = kind.members(&entry.held.body)?;
        if !(self.options.show_secrets && credential::may_be_shown(kind)) {
            kind.hide(&mut held);
        }
        let mut fields = Map::new();
        if self.options.with_ids || entry.name.is_none() {
            fields.insert("id".to_owned(), json!(entry.id));
        }
        let shown = |name: &str| {
            let field = kind.fields().iter().find(|field| field.name == name);
            name != "created_at" && field.is_none_or(Field::is_shown)
        };
        for (name, value) in held.into_iter().filter(|(name, _)| shown(name)) {
            let value = self.value(kind, &name, value);
            fields.insert(name, value);
        }
        credential::complete_dump(kind, entry.id, &entry.held, &mut fields);
        if let Some(tags) = self.tags(&entry.held) {
            fields.insert("tags".to_owned(), tags);
        }
        if self.options.with_ids {
            fields.insert("created_at".to_owned(), kind.times().show(entry.held.created_at));
        }
        Ok(fields)
    }

    /// A field as it is written: references are records.
    fn value(&self, kind: &dyn Described, name: &str, value: Value) -> Value {
        let Some(field) = kind.fields().iter().find(|field| field.name == name) else { return value };
        let Some(target) = field.foreign() else { return value };
        let id = value.as_str().and_then(|id| Uuid::try_parse(id).ok());
        let name = id.and_then(|id| self.names.get(&Key { kind: target.kind, id }));
        let key = model::described(target.kind).and_then(Described::endpoint_key);
        match (name, key) {
            (Some(name), Some(key)) => Value::Object(Map::from_iter([(key.to_owned(), json!(name))])),
            _ => json!({ "id": value }),
        }
    }

    /// The tags of an entity, without those that select it: a reading adds them again.
    fn tags(&self, held: &Held) -> Option<Value> {
        let selected = &self.options.select_tags;
        let tags: Vec<&String> = held.tags.iter().flatten().filter(|tag| !selected.contains(tag)).collect();
        (!tags.is_empty()).then(|| json!(tags))
    }
}

impl Serialize for Dump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(FORMAT, "3.0")?;
        if !self.options.select_tags.is_empty() {
            map.serialize_entry(INFO, &json!({ "select_tags": self.options.select_tags }))?;
        }
        for kind in KINDS.iter().copied() {
            if let Some(entries) = self.entities.get(&kind.kind()) {
                map.serialize_entry(kind.collection(), &Collection { dump: self, kind, entries })?;
            }
        }
        map.end()
    }
}

/// The entities of a kind.
struct Collection<'a> {
    dump: &'a Dump,
    kind: &'static dyn Described,
    entries: &'a [Entry],
}

impl Serialize for Collection<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.entries.len()))?;
        for entry in self.entries {
            let fields = self.dump.fields(self.kind, entry).map_err(S::Error::custom)?;
            list.serialize_element(&fields)?;
        }
        list.end()
    }
}
