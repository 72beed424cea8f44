//! Turns the entities of a document into the difference to the current configuration.

mod reading;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::{Described, HIDDEN, TOGETHER, Violations};
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::{Key, Kind};

use super::budget::{Budget, Spent};
use super::current::Current;
use super::difference::{Difference, Planned};
use super::errors::Errors;
use super::given::{Element, Given, pack, unpack};
use super::header::{self, Header};
use super::older_paths;
use super::options::ReadOptions;
use super::place::Place;
use super::references::{self, Unknown};

/// Bytes that the record of a declared entity takes.
const DECLARED: usize = 120;
/// Bytes that an entity takes beside its texts while it waits.
const WAITING: usize = 150;

/// What the message says of an entity that the selection leaves out.
const OUTSIDE: &str = "exists and does not carry the selected tags";

/// The state of a document that is being read.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    pub(super) errors: Errors,
    options: &'a ReadOptions<'a>,
    header: Header,
    current: &'a mut Current,
    budget: &'a mut Budget,
    /// The entities of the document.
    declared: HashSet<Key>,
    names: HashMap<(Kind, String), Uuid>,
    /// Values of further unique fields.
    unique: HashSet<(Kind, &'static str, String)>,
    waiting: Vec<Waiting>,
    unchecked: Vec<Unchecked>,
    difference: Difference,
}

/// An entity that names others which are not declared yet.
#[derive(Debug)]
struct Waiting {
    kind: &'static dyn Described,
    place: Place,
    id: Option<Uuid>,
    parent: Parent,
    /// The fields as they were given.
    fields: Box<[u8]>,
    /// What is already known to be wrong.
    violations: Violations,
}

/// The reference to the outer entity, and that entity.
type Parent = Option<(&'static str, Key)>;

/// A reference to an entity that was not declared when it was read.
#[derive(Debug)]
struct Unchecked {
    from: Key,
    place: Place,
    field: &'static str,
    to: Key,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        options: &'a ReadOptions<'a>,
        header: Header,
        current: &'a mut Current,
        budget: &'a mut Budget,
    ) -> Self {
        let mut errors = Errors::default();
        header.errors().for_each(|(key, message)| errors.top(key, message));
        Self {
            errors,
            options,
            header,
            current,
            budget,
            declared: HashSet::new(),
            names: HashMap::new(),
            unique: HashSet::new(),
            waiting: Vec::new(),
            unchecked: Vec::new(),
            difference: Difference::default(),
        }
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn budget(&mut self) -> &mut Budget {
        self.budget
    }

    /// Takes an entity and those that are nested in it.
    pub(super) fn entity(&mut self, given: Given) -> Result<(), Spent> {
        let Given { kind, place, parent, element } = given;
        let Element { fields, children, wrong } = element;
        let mut violations = Violations::default();
        for (name, message) in wrong {
            match name.as_str() {
                "@entity" => violations.entity(message),
                name => violations.field(name, message),
            }
        }
        let content = (!children.is_empty()).then(|| self.content(kind, parent, &fields));
        let id = self.declare(kind, &fields, content, &mut violations)?;
        let packed = pack(&fields);
        let waiting = Waiting { kind, place: place.clone(), id, parent, fields: packed, violations };
        self.complete_or_wait(waiting, fields)?;
        if let (Some(id), false) = (id, children.is_empty()) {
            let (place, key) = (Arc::new(place), Key { kind: kind.kind(), id });
            for child in children {
                let bytes = child.size();
                self.entity(child.given(&place, key))?;
                self.budget.give_back(bytes);
            }
        }
        Ok(())
    }

    /// The fields of an entity by which its content identifies it.
    fn content(
        &self,
        kind: &dyn Described,
        parent: Parent,
        fields: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut fields = fields.clone();
        self.prepare(kind, parent, &mut fields);
        self.resolve(kind, &mut fields, false);
        fields
    }

    /// Determines the id of an entity, and notes that the document has it. The id is open for an entity that
    /// its content identifies, unless others are nested in it: then `content` is given.
    fn declare(
        &mut self,
        kind: &'static dyn Described,
        fields: &Map<String, Value>,
        content: Option<Map<String, Value>>,
        violations: &mut Violations,
    ) -> Result<Option<Uuid>, Spent> {
        let given = fields.get("id").and_then(Value::as_str).and_then(references::parse_id);
        let name = references::naming_field(kind).and_then(|field| {
            let name = match fields.get(field) {
                Some(given) => self.name(kind, field, given.as_str()?),
                None => references::default_name(kind, field),
            };
            Some((field, name?))
        });
        let known = name.as_ref().and_then(|(_, name)| self.current.named(kind.kind(), name));
        let id = given.or(known).or_else(|| name.is_some().then(Uuid::new_v4));
        let id = id.or_else(|| content.map(|content| self.recognised(kind, &content)));
        if let (Some(id), Some((field, name))) = (id, name) {
            self.budget.take(DECLARED + name.len())?;
            let other = known.map(|id| Key { kind: kind.kind(), id }).filter(|other| other.id != id);
            if other.is_some_and(|other| self.current.is_outside(other)) {
                violations.field(field, outside(kind, field, &name));
            }
            if self.names.insert((kind.kind(), name.clone()), id).is_some() {
                violations.field(field, already(kind, field, &name));
            }
        }
        if let Some(id) = id {
            self.declare_id(kind, id, violations)?;
        }
        Ok(id)
    }

    /// The name of an entity in the form in which it is compared; `None` for a hidden one.
    fn name(&self, kind: &dyn Described, field: &str, text: &str) -> Option<String> {
        match (references::is_secret(kind, field), text) {
            (false, text) => Some(references::canonical(kind, text)),
            (true, text) if text.starts_with(HIDDEN) => None,
            (true, text) => Some((self.options.hash)(text)),
        }
    }

    fn declare_id(
        &mut self,
        kind: &'static dyn Described,
        id: Uuid,
        violations: &mut Violations,
    ) -> Result<(), Spent> {
        self.budget.take(DECLARED)?;
        let key = Key { kind: kind.kind(), id };
        self.current.declare(key);
        if !self.declared.insert(key) && violations.is_empty() {
            violations.field("id", already(kind, "id", &id.to_string()));
        }
        Ok(())
    }

    /// Completes an entity, or keeps it until all entities are declared.
    fn complete_or_wait(&mut self, waiting: Waiting, mut fields: Map<String, Value>) -> Result<(), Spent> {
        self.prepare(waiting.kind, waiting.parent, &mut fields);
        let unknown = self.resolve(waiting.kind, &mut fields, false);
        match unknown.is_empty() {
            true => self.complete(waiting, fields),
            false => {
                self.budget.take(waiting.fields.len() + WAITING)?;
                self.waiting.push(waiting);
                Ok(())
            }
        }
    }

    /// Removes what is for people, and adds the reference to the outer entity.
    fn prepare(&self, kind: &dyn Described, parent: Parent, fields: &mut Map<String, Value>) {
        header::IGNORED.iter().for_each(|name| drop(fields.shift_remove(*name)));
        if let Some((field, key)) = parent
            && fields.get(field).is_none_or(Value::is_null)
        {
            fields.insert(field.to_owned(), serde_json::json!({ "id": key.id }));
        }
        if self.header.has_older_paths() && kind.kind() == model::kind::ROUTE {
            older_paths::convert(fields);
        }
    }

    /// Replaces names by ids: those of the document and, at the end, those of entities that stay.
    fn resolve(&self, kind: &dyn Described, fields: &mut Map<String, Value>, at_end: bool) -> Vec<Unknown> {
        let outside = |kind: Kind, name: &str| {
            let id = self.current.named(kind, name).filter(|_| at_end)?;
            self.current.is_outside(Key { kind, id }).then_some(id)
        };
        references::resolve(kind, fields, |kind, name| {
            self.names.get(&(kind, name.to_owned())).copied().or_else(|| outside(kind, name))
        })
    }

    /// The difference, or all errors.
    pub(super) fn finish(mut self) -> Result<Result<Difference, Errors>, Spent> {
        for mut waiting in std::mem::take(&mut self.waiting) {
            let mut fields = unpack(&waiting.fields);
            self.prepare(waiting.kind, waiting.parent, &mut fields);
            for Unknown { field, message } in self.resolve(waiting.kind, &mut fields, true) {
                fields.shift_remove(field);
                waiting.violations.field(field, message);
            }
            self.complete(waiting, fields)?;
        }
        self.check_references();
        let deleted = self.current.undeclared();
        self.check_deleted(&deleted);
        if !self.errors.is_empty() {
            return Ok(Err(self.errors));
        }
        let deletes = deleted.into_iter().filter_map(|key| Some((key, self.current.get(key)?.clone())));
        self.difference.deletes = deletes.collect();
        Ok(Ok(self.difference.ordered()))
    }

    /// Checks that each entity that was named before it was declared is there.
    fn check_references(&mut self) {
        let unchecked = std::mem::take(&mut self.unchecked);
        let is_there = |to: &Key| self.declared.contains(to) || self.current.is_outside(*to);
        let wrong: Vec<Unchecked> =
            unchecked.into_iter().filter(|unchecked| !is_there(&unchecked.to)).collect();
        if wrong.is_empty() {
            return;
        }
        let given: HashMap<Key, &[u8]> = self.difference.puts.iter().map(Planned::given).collect();
        for Unchecked { from, place, field, to } in wrong {
            let Some(kind) = model::described(from.kind) else { continue };
            let Unknown { field, message } =
                references::unknown(field, &to.id.to_string(), &model::collection(to.kind));
            let mut violations = Violations::default();
            violations.field(field, message);
            // One that stays as it is has its id alone.
            let id = format!("{{\"id\":\"{}\"}}", from.id);
            let given = given.get(&from).copied().unwrap_or(id.as_bytes());
            self.errors.entity(kind, &place, given, violations);
        }
    }

    /// Checks that no entity which the document is not about names a deleted one.
    fn check_deleted(&mut self, deleted: &HashSet<Key>) {
        let mut first: BTreeMap<Kind, (Key, Key, usize)> = BTreeMap::new();
        for (by, to) in self.current.outside().naming(deleted) {
            first.entry(to.kind).or_insert((by, to, 0)).2 += 1;
        }
        for (kind, (by, to, count)) in first {
            let (naming, named) = (model::collection(by.kind), model::collection(kind));
            let more = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
            let message = format!(
                "an existing '{naming}' entity references this '{named}' entity: '{}', without the selected tags, \
                 references '{}', which would be deleted{more}",
                by.id, to.id
            );
            self.errors.top(&named, message);
        }
    }
}

/// The message for a unique value that an entity without the selected tags has.
fn outside(kind: &dyn Described, field: &str, value: &str) -> String {
    format!("{} {OUTSIDE}", with_value(kind, field, value))
}

/// The message for a second entity with a unique value.
fn already(kind: &dyn Described, field: &str, value: &str) -> String {
    format!("{} already declared", with_value(kind, field, value))
}

/// The beginning of the message that a unique value is in use.
fn with_value(kind: &dyn Described, field: &str, value: &str) -> String {
    let set = |field: &str, value: &str| {
        format!("{field} set to '{}'", value.chars().take(200).collect::<String>())
    };
    let values = if field == TOGETHER {
        let parts = kind.split_together(value).into_iter().filter(|(_, value)| !value.is_null());
        let text =
            |value: Value| value.get("id").and_then(Value::as_str).or(value.as_str()).map(str::to_owned);
        let parts = parts.map(|(field, value)| set(field, &text(value).unwrap_or_default()));
        parts.collect::<Vec<_>>().join(" and ")
    } else {
        set(field, if references::is_secret(kind, field) { HIDDEN } else { value })
    };
    format!("uniqueness violation: '{}' entity with {values}", kind.collection())
}
