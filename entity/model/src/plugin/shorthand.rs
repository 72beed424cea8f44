//! Earlier names of fields of a configuration. A body may give a value by one; it is stored under the present
//! name, and shown under both.

use serde_json::{Map, Value, json};

use crate::field::Field;
use crate::violations::{FieldErrors, Violations};

/// An earlier name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shorthand {
    /// The name.
    pub name: &'static str,
    /// The names that lead to the field, from the configuration down; empty for a field that has no effect any
    /// more.
    pub path: &'static [&'static str],
}

impl Shorthand {
    /// A field that is now elsewhere.
    pub const fn moved(name: &'static str, path: &'static [&'static str]) -> Self {
        Self { name, path }
    }

    /// A field that bodies may have, and that has no effect any more.
    pub const fn without_effect(name: &'static str) -> Self {
        Self { name, path: &[] }
    }

    /// The field that it stands for.
    pub(crate) fn field(&self, fields: &'static [Field]) -> Option<&'static Field> {
        let mut names = self.path.iter();
        let find = |fields: &'static [Field], name: &str| fields.iter().find(|field| field.name == name);
        let first = find(fields, names.next()?)?;
        names.try_fold(first, |field, name| find(field.nested(), name))
    }

    /// Moves the value of a body to its field.
    pub(crate) fn expand(
        &self,
        fields: &'static [Field],
        config: &mut Map<String, Value>,
        form: bool,
        violations: &mut Violations,
    ) {
        let Some(value) = config.remove(self.name) else { return };
        let Some(field) = self.field(fields) else { return };
        if value.is_null() {
            // It clears the field, unless the body has a value for it.
            return self.place(config, value, false);
        }
        if let Some(errors) = field.read_errors(value.clone(), form) {
            return violations.at("config", FieldErrors::Nested([(self.name.to_owned(), errors)].into()));
        }
        match self.value(config) {
            Some(present) if !present.is_null() && *present != value => {
                let (old, new) = (self.name, self.path.join("."));
                let (given, present) = match field.is_secret() {
                    true => (crate::HIDDEN.to_owned(), crate::HIDDEN.to_owned()),
                    false => (shown(&value), shown(present)),
                };
                let message = format!(
                    "both deprecated and new field are used but their values mismatch: {old} = {given} vs \
                     {new} = {present}"
                );
                violations.at_path(&format!("config.{old}"), message);
            }
            _ => self.place(config, value, true),
        }
    }

    /// The value of its field.
    pub(crate) fn value<'a>(&self, config: &'a Map<String, Value>) -> Option<&'a Value> {
        let (last, outer) = self.path.split_last()?;
        let record = outer.iter().try_fold(config, |record, name| record.get(*name)?.as_object())?;
        record.get(*last)
    }

    /// Puts a value at its field; an existing one is replaced only if `always`.
    fn place(&self, config: &mut Map<String, Value>, value: Value, always: bool) {
        let Some((last, outer)) = self.path.split_last() else { return };
        let mut record = config;
        for name in outer {
            let next = record.entry(*name).or_insert(Value::Null);
            if next.is_null() {
                *next = Value::Object(Map::new());
            }
            // Whatever else it is, its own error says so.
            let Some(next) = next.as_object_mut() else { return };
            record = next;
        }
        match record.entry(*last) {
            serde_json::map::Entry::Vacant(free) => drop(free.insert(value)),
            serde_json::map::Entry::Occupied(mut held) if always => drop(held.insert(value)),
            serde_json::map::Entry::Occupied(_) => {}
        }
    }

    /// It in the words of a schema.
    pub(crate) fn describe(&self, plugin: &str, fields: &'static [Field]) -> Map<String, Value> {
        let mut schema = self.field(fields).map_or_else(Map::new, |field| (field.describe)(&field.rules));
        let old = format!("{plugin}: config.{} is deprecated", self.name);
        let mut deprecation = json!({ "removal_in_version": "4.0", "message": old });
        if !self.path.is_empty() {
            deprecation["message"] =
                format!("{old}, please use config.{} instead", self.path.join(".")).into();
            deprecation["replaced_with"] = json!([{ "path": self.path }]);
        }
        schema.entry("type").or_insert("string".into());
        schema.insert("deprecation".to_owned(), deprecation);
        schema
    }
}

/// A value in a message, at most its beginning.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(100).collect()
}
