//! Records: structs that declare their fields. Everything that a declaration says follows from here.

use serde::de::MapAccess;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::field::{Field, FieldType, FieldValue, Level};
use crate::rules::{Foreign, OnDelete};
use crate::violations::{FieldErrors, Violations};

/// The rules of a record that are about more than one of its fields.
pub trait Check {
    /// Adds the rules of every version that it breaks.
    fn rules(&self, _violations: &mut Violations) {}

    /// Adds the bounds of what is written that it exceeds.
    fn bounds(&self, _violations: &mut Violations) {}

    /// Adds the rules that are narrower for what is written than for what older versions accepted.
    fn written_rules(&self, _violations: &mut Violations) {}

    /// The rules between fields in the words of a schema.
    fn entity_checks() -> Vec<Value>
    where
        Self: Sized,
    {
        Vec::new()
    }
}

/// A struct that declares its fields; derived.
pub trait Record: Check + Default + PartialEq + 'static {
    /// Its fields, in their order.
    fn fields() -> &'static [Field];

    /// Visits each field with its value.
    fn each(&self, visit: &mut dyn FnMut(&'static Field, &dyn FieldValue));

    /// Reads the value of a member of the canonical bytes into the field at this index.
    ///
    /// # Errors
    /// Those of the deserializer.
    fn set<'de, A: MapAccess<'de>>(&mut self, index: usize, members: &mut A) -> Result<(), A::Error>;

    /// Reads it from a body. Fields that cannot be read hold a default, and the reader the reason.
    fn read(reader: &mut Reader) -> Self;
}

/// A reference of an entity to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The field that names it.
    pub field: &'static str,
    /// What it names.
    pub to: wire::Key,
    /// Whether the entity is deleted with what it names.
    pub cascades: bool,
}

/// Checks a record: the bounds of what is written alone, or the rules of every version.
pub(crate) fn check<R: Record>(record: &R, level: Level) -> Violations {
    let mut violations = Violations::default();
    record.each(&mut |field, value| {
        if let Some(errors) = value.check(&field.rules, level) {
            violations.at(field.name, errors);
        }
    });
    match level {
        Level::Bounds => record.bounds(&mut violations),
        Level::Rules => record.rules(&mut violations),
    }
    violations
}

/// Checks a record that is written: its bounds, and only when it keeps them every rule.
pub(crate) fn check_written<R: Record>(record: &R) -> Violations {
    let bounds = check(record, Level::Bounds);
    if !bounds.is_empty() {
        return bounds;
    }
    let mut violations = check(record, Level::Rules);
    record.written_rules(&mut violations);
    violations
}

/// Shows a record as the Admin API does.
pub(crate) fn show<R: Record>(record: &R) -> Map<String, Value> {
    let mut view = Map::new();
    record.each(&mut |field, value| {
        let shown = value.show(&field.rules);
        if field.is_shown() && !(field.rules.quiet && shown == field.default) {
            view.insert(field.name.to_owned(), shown);
        }
    });
    view
}

/// The keys of unique fields, by name.
pub(crate) fn unique<R: Record>(record: &R) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    record.each(&mut |field, value| {
        if let Some(text) = value.text().filter(|_| field.is_unique()) {
            let of = field.within().and_then(|other| named_by(record, other));
            keys.push((field.name, field.key(text, of)));
        }
    });
    keys
}

/// The entity that a field of the record names.
fn named_by<R: Record>(record: &R, name: &str) -> Option<Uuid> {
    let mut found = None;
    record.each(&mut |field, value| {
        if field.name == name {
            found = value.ids().first().copied();
        }
    });
    found
}

/// The entities that a record names, each once for each field.
pub(crate) fn references<R: Record>(record: &R) -> Vec<Reference> {
    let mut all = Vec::new();
    record.each(&mut |field, value| {
        let Some(Foreign { kind, on_delete }) = field.target() else { return };
        let cascades = on_delete == OnDelete::Cascade;
        let of = |id: Uuid| Reference { field: field.name, to: wire::Key { kind, id }, cascades };
        all.extend(value.ids().into_iter().map(of));
    });
    all.sort_unstable();
    all.dedup();
    all
}

/// Visits the entities that a record names, with the index of the field, in the order of its fields.
pub(crate) fn each_reference<R: Record>(record: &R, visit: &mut dyn FnMut(usize, wire::Key)) {
    let mut index = 0;
    record.each(&mut |field, value| {
        if let Some(Foreign { kind, .. }) = field.target() {
            value.ids().into_iter().for_each(|id| visit(index, wire::Key { kind, id }));
        }
        index += 1;
    });
}

/// Reads the fields of a body. Reading a field removes it; fields that remain at the end are unknown. A field
/// that is `null` counts as not given.
#[derive(Debug)]
pub struct Reader {
    left: Map<String, Value>,
    form: bool,
    pub(crate) violations: Violations,
}

impl Reader {
    /// Takes the fields of a body. `form` says that every value is a string.
    pub(crate) fn new(fields: Map<String, Value>, form: bool, violations: Violations) -> Self {
        Self { left: fields, form, violations }
    }

    /// Takes a value as it is; `None` when it is not given.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Reads a field; `default` is its value when it is not given.
    pub fn field<T: FieldType>(&mut self, field: &Field, default: T) -> T {
        if !field.is_shown() {
            return default;
        }
        let Some(value) = self.take(field.name) else {
            if field.rules.required {
                self.violations.field(field.name, "required field missing");
            }
            return default;
        };
        let (read, errors) = T::read_part(value, &field.rules, self.form);
        errors.into_iter().for_each(|errors| self.violations.at(field.name, errors));
        read.unwrap_or_else(|| T::unreadable(default))
    }

    /// All violations, unknown fields included.
    pub(crate) fn finish(mut self) -> Violations {
        for name in self.left.keys() {
            self.violations.field(name, "unknown field");
        }
        self.violations
    }
}

/// Completes a replacement by the fields that it leaves as they are.
pub(crate) fn keep<R: Record>(held: &R, fields: &mut Map<String, Value>) {
    held.each(&mut |field, value| {
        if field.rules.kept && !fields.contains_key(field.name) {
            fields.insert(field.name.to_owned(), value.show(&field.rules));
        }
    });
}

/// Puts the fields that a body gives in place of those that an entity holds. Of a record, the fields that are
/// not given stay.
pub(crate) fn merge(fields: &[Field], held: &mut Map<String, Value>, given: Map<String, Value>) {
    for (name, value) in given {
        let nested = fields.iter().find(|field| field.name == name).map(Field::nested).unwrap_or_default();
        match (held.get_mut(&name), value) {
            (Some(Value::Object(held)), Value::Object(given)) if !nested.is_empty() => {
                merge(nested, held, given);
            }
            // An empty list is an empty record.
            (Some(Value::Object(_)), Value::Array(empty)) if !nested.is_empty() && empty.is_empty() => {}
            (_, value) => drop(held.insert(name, value)),
        }
    }
}

/// Adds the fields that a body must have and that canonical bytes leave out.
pub(crate) fn complete(fields: &[Field], members: &mut Map<String, Value>) {
    for field in fields {
        if field.rules.required {
            members.entry(field.name).or_insert_with(|| field.left_out.clone());
        }
        match members.get_mut(field.name) {
            Some(Value::Object(members)) if !field.nested().is_empty() => complete(field.nested(), members),
            Some(Value::Array(list)) if !field.nested().is_empty() => {
                list.iter_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|one| complete(field.nested(), one));
            }
            _ => {}
        }
    }
}

/// Reads a record within another one: its fields, of which those that cannot be read hold their default, and
/// the messages for these. Whatever is no record has no fields.
pub(crate) fn read_nested<R: Record>(value: Value, form: bool) -> (Option<R>, Option<FieldErrors>) {
    let fields = match value {
        Value::Object(fields) => fields,
        // Kong does not tell an empty record from an empty list.
        Value::Array(empty) if empty.is_empty() => Map::new(),
        _ => return (None, Some("expected a record".into())),
    };
    let mut reader = Reader::new(fields, form, Violations::default());
    let read = R::read(&mut reader);
    (Some(read), FieldErrors::of_record(reader.finish()))
}

/// The values of some fields together, as one text: of each its text, or the id that it names, or `-`.
/// Neither an id nor the text of such a field holds a blank.
pub(crate) fn together<R: Record>(record: &R, names: &[&str]) -> String {
    let mut parts = vec!["-".to_owned(); names.len()];
    record.each(&mut |field, value| {
        if let Some(at) = names.iter().position(|name| *name == field.name) {
            let id = || value.ids().first().map(Uuid::to_string);
            parts[at] = value.text().map(str::to_owned).or_else(id).unwrap_or_else(|| "-".to_owned());
        }
    });
    parts.join(" ")
}
