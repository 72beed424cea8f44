//! The types that fields may have: how each is read, checked, shown and written.

mod form_number;
mod integers;
mod map;
mod number;
mod words;

use std::collections::{BTreeMap, HashSet};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::bounds;
use crate::field::{Field, FieldType, FieldValue, HIDDEN, Level};
use crate::kind;
use crate::private_key::PrivateKey;
use crate::rules::{OnDelete, Rules};
use crate::violations::FieldErrors;

pub use map::is_secret_name;
pub use number::Number;
pub use words::Word;
pub(crate) use words::words;

/// A value in its canonical form.
#[derive(Debug)]
pub struct Canonical<'a, T>(pub &'a T);

impl<T: FieldType> Serialize for Canonical<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl FieldValue for String {
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
        let checked = match level {
            Level::Bounds => rules.longest.map_or(Ok(()), |longest| bounds::length(self, longest)),
            Level::Rules if rules.required && self.is_empty() => Err("required field missing".to_owned()),
            Level::Rules => rules.is.map_or(Ok(()), |check| check(self)),
        };
        checked.err().map(FieldErrors::Whole)
    }

    fn show(&self, rules: &Rules) -> Value {
        if rules.secret { HIDDEN.into() } else { self.as_str().into() }
    }

    fn text(&self) -> Option<&str> {
        Some(self)
    }
}

impl FieldType for String {
    fn read(value: Value, rules: &Rules, _form: bool) -> Result<Self, FieldErrors> {
        match value {
            Value::String(text) if text.is_empty() => Err("length must be at least 1".into()),
            Value::String(text) => Ok(rules.clean.map_or_else(|| text.clone(), |clean| clean(&text))),
            _ => Err("expected a string".into()),
        }
    }

    fn describe(rules: &Rules) -> Map<String, Value> {
        let mut schema = typed("string");
        if let Some(longest) = rules.longest {
            schema.insert("len_max".to_owned(), longest.into());
        }
        if let Some(beginning) = rules.starts_with {
            schema.insert("starts_with".to_owned(), beginning.into());
        }
        if rules.is_regex {
            schema.insert("is_regex".to_owned(), true.into());
        }
        schema
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

impl FieldValue for PrivateKey {
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
        let checked = match level {
            Level::Rules if rules.required && self.is_empty() => Err("required field missing".to_owned()),
            Level::Rules => rules.is.map_or(Ok(()), |check| check(self.expose())),
            Level::Bounds => rules.longest.map_or(Ok(()), |longest| bounds::length(self.expose(), longest)),
        };
        checked.err().map(FieldErrors::Whole)
    }

    fn show(&self, _rules: &Rules) -> Value {
        HIDDEN.into()
    }

    fn text(&self) -> Option<&str> {
        Some(self.expose())
    }
}

impl FieldType for PrivateKey {
    fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
        String::read(value, rules, form).map(Self::from)
    }

    fn describe(rules: &Rules) -> Map<String, Value> {
        String::describe(rules)
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl FieldValue for bool {
    fn check(&self, _rules: &Rules, _level: Level) -> Option<FieldErrors> {
        None
    }

    fn show(&self, _rules: &Rules) -> Value {
        (*self).into()
    }
}

impl FieldType for bool {
    fn read(value: Value, _rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
        match value {
            Value::Bool(boolean) => Ok(boolean),
            Value::String(text) if form && text == "true" => Ok(true),
            Value::String(text) if form && text == "false" => Ok(false),
            _ => Err("expected a boolean".into()),
        }
    }

    fn describe(_rules: &Rules) -> Map<String, Value> {
        typed("boolean")
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

/// The id of another entity. A field shows it as `{"id": …}`, a list as the id alone.
impl FieldValue for Uuid {
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
        let missing = level == Level::Rules && rules.required && self.is_nil();
        missing.then(|| "required field missing".into())
    }

    fn show(&self, rules: &Rules) -> Value {
        if rules.element { json!(self) } else { json!({ "id": self }) }
    }

    fn ids(&self) -> Vec<Uuid> {
        vec![*self]
    }
}

impl FieldType for Uuid {
    fn read(value: Value, rules: &Rules, _form: bool) -> Result<Self, FieldErrors> {
        if rules.element {
            return id(&value);
        }
        let Value::Object(map) = value else { return Err("expected a record".into()) };
        let unknown = map.keys().filter(|key| *key != "id");
        let mut errors: BTreeMap<_, _> =
            unknown.map(|key| (key.clone(), FieldErrors::from("unknown field"))).collect();
        match map.get("id").filter(|id| !id.is_null()).map(id) {
            Some(Ok(id)) if errors.is_empty() => return Ok(id),
            Some(Ok(_)) => {}
            Some(Err(error)) => drop(errors.insert("id".to_owned(), error)),
            None => drop(errors.insert("id".to_owned(), "required field missing".into())),
        }
        Err(FieldErrors::Nested(errors))
    }

    fn describe(rules: &Rules) -> Map<String, Value> {
        let collection = rules.target.and_then(|target| kind::known_collection(target.kind));
        match collection {
            Some(collection) if !rules.element => {
                let mut schema = typed("foreign");
                schema.insert("reference".to_owned(), collection.into());
                if rules.target.is_some_and(|target| target.on_delete == OnDelete::Cascade) {
                    schema.insert("on_delete".to_owned(), "cascade".into());
                }
                schema
            }
            _ => {
                let mut schema = typed("string");
                schema.insert("uuid".to_owned(), true.into());
                schema
            }
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

impl<T: FieldType> FieldValue for Option<T> {
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
        self.as_ref().and_then(|value| value.check(rules, level))
    }

    fn show(&self, rules: &Rules) -> Value {
        self.as_ref().map_or(Value::Null, |value| value.show(rules))
    }

    fn text(&self) -> Option<&str> {
        self.as_ref().and_then(FieldValue::text)
    }

    fn ids(&self) -> Vec<Uuid> {
        self.as_ref().map(FieldValue::ids).unwrap_or_default()
    }
}

impl<T: FieldType> FieldType for Option<T> {
    const NULLABLE: bool = true;

    const MANY: bool = T::MANY;

    fn fields() -> &'static [Field] {
        T::fields()
    }

    fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
        T::read(value, rules, form).map(Some)
    }

    fn read_part(value: Value, rules: &Rules, form: bool) -> (Option<Self>, Option<FieldErrors>) {
        let (read, errors) = T::read_part(value, rules, form);
        (read.map(Some), errors)
    }

    fn describe(rules: &Rules) -> Map<String, Value> {
        T::describe(rules)
    }

    fn marks(value: Option<&Value>, path: &str, found: &mut Vec<String>) {
        T::marks(value, path, found);
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => serializer.serialize_some(&Canonical(value)),
            None => serializer.serialize_none(),
        }
    }
}

impl<T: FieldType> FieldValue for Vec<T> {
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
        if let (Level::Bounds, Some(most)) = (level, rules.most)
            && let Err(message) = bounds::at_most(self.len(), most, "elements")
        {
            return Some(message.into());
        }
        if level == Level::Rules && self.len() < rules.fewest {
            return Some(too_few(rules));
        }
        let rules = rules.of_elements();
        let errors = self.iter().enumerate();
        FieldErrors::of_elements(errors.filter_map(|(at, value)| Some((at, value.check(&rules, level)?))))
    }

    fn show(&self, rules: &Rules) -> Value {
        let rules = rules.of_elements();
        self.iter().map(|value| value.show(&rules)).collect()
    }

    fn ids(&self) -> Vec<Uuid> {
        self.iter().flat_map(FieldValue::ids).collect()
    }
}

impl<T: FieldType> FieldType for Vec<T> {
    const MANY: bool = true;

    fn fields() -> &'static [Field] {
        T::fields()
    }

    /// In a form, a single value stands for a list of one.
    fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
        let list = match value {
            Value::Array(list) => list,
            one @ Value::String(_) if form => vec![one],
            // Kong does not tell an empty list from an empty record.
            Value::Object(empty) if empty.is_empty() => Vec::new(),
            _ => return Err("expected an array".into()),
        };
        // Before each element has an error of its own.
        if let Some(most) = rules.most {
            bounds::at_most(list.len(), most, "elements")?;
        }
        let of_elements = rules.of_elements();
        let (mut read, mut errors, mut seen) =
            (Vec::with_capacity(list.len()), BTreeMap::new(), HashSet::new());
        for (index, element) in list.iter().enumerate() {
            match T::read(element.clone(), &of_elements, form) {
                Ok(value) if !rules.set || seen.insert(value.show(&of_elements).to_string()) => {
                    read.push((index, value));
                }
                Ok(_) => {}
                Err(error) => drop(errors.insert(index, error)),
            }
        }
        if errors.is_empty() {
            return Ok(read.into_iter().map(|(_, value)| value).collect());
        }
        // A list that cannot be read is not checked afterwards.
        for (index, value) in read {
            let broken =
                [Level::Bounds, Level::Rules].into_iter().find_map(|level| value.check(&of_elements, level));
            broken.into_iter().for_each(|error| drop(errors.insert(index, error)));
        }
        Err(T::in_list(&list, errors))
    }

    fn unreadable(_default: Self) -> Self {
        Self::new()
    }

    fn describe(rules: &Rules) -> Map<String, Value> {
        let mut schema = typed(if rules.set { "set" } else { "array" });
        schema.insert("elements".to_owned(), Value::Object(T::describe(&rules.of_elements())));
        add_lengths(&mut schema, rules);
        schema
    }

    fn marks(value: Option<&Value>, path: &str, found: &mut Vec<String>) {
        match value {
            None => T::marks(None, path, found),
            Some(list) => {
                list.as_array().into_iter().flatten().for_each(|value| T::marks(Some(value), path, found));
            }
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Canonical))
    }
}

/// Reads an id.
pub(crate) fn id(value: &Value) -> Result<Uuid, FieldErrors> {
    let text = value.as_str().ok_or("expected a string")?;
    parse_uuid(text).ok_or_else(|| "expected a valid UUID".into())
}

fn typed(name: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), name.into())])
}

fn too_few(rules: &Rules) -> FieldErrors {
    format!("length must be at least {}", rules.fewest).into()
}

/// Adds how many elements a list or a map may have.
fn add_lengths(schema: &mut Map<String, Value>, rules: &Rules) {
    if rules.fewest > 0 {
        schema.insert("len_min".to_owned(), rules.fewest.into());
    }
    if let Some(most) = rules.most {
        schema.insert("len_max".to_owned(), most.into());
    }
}

fn listed<T: ToString>(words: impl Iterator<Item = T>) -> String {
    format!("expected one of: {}", words.map(|word| word.to_string()).collect::<Vec<_>>().join(", "))
}

/// Parses a UUID in the form in which ids are shown: 36 characters, in either case.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}
