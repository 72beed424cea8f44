//! The errors of a document, all at once: by place, in Kong's two forms.

use std::collections::BTreeMap;

use model::{Described, FieldErrors, Violations};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::place::Place;

/// The most entities whose errors are named.
const NAMED: usize = 1000;
/// Errors after which no further entity is named. One entity has some thousands at most.
const MAX_ERRORS: usize = 10_000;
/// The most bytes of entities that the errors repeat.
const REPEATED: usize = 1 << 20;
/// The most bytes of one text that the errors repeat.
const TEXT: usize = 1024;
/// The most errors that the message has.
const IN_MESSAGE: usize = 10;

/// The errors of a document.
#[derive(Debug, Default)]
pub struct Errors {
    /// By key at the top of the document.
    top: BTreeMap<String, String>,
    entities: Vec<EntityErrors>,
    /// Entities with errors, also those that are not named.
    total: usize,
    /// Errors of the entities that are named.
    listed: usize,
    /// Bytes of entities that are repeated.
    repeated: usize,
}

/// The errors of one entity.
#[derive(Debug)]
struct EntityErrors {
    place: Place,
    /// The entity, without its secrets.
    entity: Map<String, Value>,
    violations: Violations,
}

impl Errors {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.top.is_empty() && self.total == 0
    }

    /// Entities with errors that the two forms leave out.
    pub fn unnamed(&self) -> usize {
        self.total - self.entities.len()
    }

    /// Adds an error of a key at the top of the document; the first one stays.
    pub(super) fn top(&mut self, key: &str, message: impl Into<String>) {
        if self.top.len() < NAMED {
            let key: String = key.chars().take(TEXT).collect();
            self.top.entry(key).or_insert_with(|| message.into());
        }
    }

    /// Adds the errors of an entity. `packed` is the entity as it was given, in JSON.
    pub(super) fn entity(
        &mut self,
        kind: &dyn Described,
        place: &Place,
        packed: &[u8],
        violations: Violations,
    ) {
        self.total += 1;
        if self.entities.len() == NAMED || self.listed >= MAX_ERRORS {
            return;
        }
        self.listed += violations.iter().count();
        let given = serde_json::from_slice::<Map<String, Value>>(packed).unwrap_or_default();
        let whole = self.repeated + packed.len() <= REPEATED;
        self.repeated += if whole { packed.len() } else { 0 };
        let entity = if whole { without_secrets(kind, given) } else { identity(given) };
        self.entities.push(EntityErrors { place: place.clone(), entity, violations });
    }

    /// `declarative config is invalid: …` with the first errors, and the number of the others.
    pub fn message(&self) -> String {
        let top = self.top.iter().map(|(key, message)| format!("{key}: {message}"));
        let entities = self.entities.iter().flat_map(EntityErrors::texts);
        let mut first: Vec<String> = top.chain(entities).take(IN_MESSAGE + 1).collect();
        if first.len() > IN_MESSAGE {
            first.truncate(IN_MESSAGE);
            first.push(format!("and more, in {} entities", self.total));
        }
        format!("declarative config is invalid: {}", first.join("; "))
    }

    /// The errors in the shape of the document: records by field, lists by index.
    pub fn nested(&self) -> Value {
        let mut root = Node::default();
        for entity in &self.entities {
            root.at(&entity.place).errors = Some(&entity.violations);
        }
        let mut fields = self.about_document();
        fields.extend(root.show());
        Value::Object(fields)
    }

    /// The errors that are about no entity.
    pub fn about_document(&self) -> Map<String, Value> {
        self.top.iter().map(|(key, message)| (key.clone(), json!(message))).collect()
    }

    /// The errors as a list of entities, each with its own.
    pub fn flattened(&self) -> Vec<Value> {
        self.entities.iter().map(EntityErrors::show).collect()
    }
}

impl EntityErrors {
    fn texts(&self) -> impl Iterator<Item = String> {
        let text = |(path, message): (String, &str)| match path.as_str() {
            "@entity" => format!("{}: {message}", self.place),
            _ => format!("{}.{path}: {message}", self.place),
        };
        self.violations.iter().map(text)
    }

    fn show(&self) -> Value {
        let errors: Vec<Value> = self.violations.iter().map(|(path, message)| one(&path, message)).collect();
        let mut shown = Map::new();
        let collection = self.place.collection;
        let singular = collection.strip_suffix('s').unwrap_or(collection);
        shown.insert("entity_type".to_owned(), singular.into());
        let mut add = |name: &str, value: Option<Value>| {
            value.into_iter().for_each(|value| drop(shown.insert(name.to_owned(), value)));
        };
        add("entity_name", text(&self.entity, "name").map(Value::from));
        add("entity_id", text(&self.entity, "id").filter(|id| Uuid::try_parse(id).is_ok()).map(Value::from));
        add("entity_tags", tags(&self.entity));
        add("entity_path", Some(self.place.to_string().into()));
        add("entity", Some(Value::Object(self.entity.clone())));
        add("errors", Some(errors.into()));
        Value::Object(shown)
    }
}

fn one(path: &str, message: &str) -> Value {
    match path {
        "@entity" => json!({ "type": "entity", "message": message }),
        field => json!({ "type": "field", "field": field, "message": message }),
    }
}

fn text<'a>(entity: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    entity.get(field).and_then(Value::as_str).filter(|text| !text.is_empty() && text.len() <= TEXT)
}

fn tags(entity: &Map<String, Value>) -> Option<Value> {
    let tags = entity.get("tags")?;
    let is_text = |tag: &Value| tag.as_str().is_some_and(|tag| tag.len() <= TEXT);
    tags.as_array()?.iter().all(is_text).then(|| tags.clone())
}

/// The fields by which a client recognises an entity.
fn identity(given: Map<String, Value>) -> Map<String, Value> {
    let own = |name: &str| ["id", "name"].contains(&name);
    let short = |value: &Value| value.as_str().is_some_and(|text| text.len() <= TEXT);
    given.into_iter().filter(|(name, value)| own(name) && short(value)).collect()
}

fn without_secrets(kind: &dyn Described, mut given: Map<String, Value>) -> Map<String, Value> {
    kind.hide(&mut given);
    given
}

/// A list or an entity in the shape of the document.
#[derive(Default)]
struct Node<'a> {
    errors: Option<&'a Violations>,
    lists: BTreeMap<&'static str, BTreeMap<usize, Node<'a>>>,
}

impl<'a> Node<'a> {
    fn at(&mut self, place: &Place) -> &mut Self {
        let outer = match &place.parent {
            Some(parent) => self.at(parent),
            None => self,
        };
        outer.lists.entry(place.collection).or_default().entry(place.index).or_default()
    }

    fn show(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        if let Some(violations) = self.errors {
            if !violations.entity.is_empty() {
                shown.insert("@entity".to_owned(), json!(violations.entity));
            }
            shown.extend(violations.fields.iter().map(|(name, errors)| (name.clone(), field(errors))));
        }
        for (collection, nodes) in &self.lists {
            let elements = nodes.iter().map(|(index, node)| (*index, Value::Object(node.show())));
            shown.insert((*collection).to_owned(), list(elements.collect()));
        }
        shown
    }
}

fn field(errors: &FieldErrors) -> Value {
    match errors {
        FieldErrors::Whole(message) => json!(message),
        FieldErrors::Elements(elements) => {
            list(elements.iter().map(|(index, errors)| (*index, field(errors))).collect())
        }
        FieldErrors::Nested(fields) => {
            Value::Object(fields.iter().map(|(name, errors)| (name.clone(), field(errors))).collect())
        }
    }
}

/// A list with null for each valid element. As in Kong, one with few errors far from its beginning is a
/// record with the indices, counted from 1, as keys.
fn list(elements: BTreeMap<usize, Value>) -> Value {
    let length = elements.keys().next_back().map_or(0, |last| last + 1);
    let is_sparse = length > 10 && length > 2 * elements.len();
    if is_sparse {
        return Value::Object(
            elements.into_iter().map(|(index, value)| ((index + 1).to_string(), value)).collect(),
        );
    }
    let mut elements = elements;
    (0..length).map(|index| elements.remove(&index).unwrap_or_default()).collect()
}
