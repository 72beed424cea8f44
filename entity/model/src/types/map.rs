//! Maps from texts to values of one type.

use std::collections::BTreeMap;

use serde::Serializer;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Canonical, add_lengths, too_few, typed};
use crate::bounds;
use crate::field::{FieldType, FieldValue, HIDDEN, Level};
use crate::rules::Rules;
use crate::violations::FieldErrors;

/// Parts of names whose values are secrets, in lower case.
const SECRET_NAMES: [&str; 8] =
    ["auth", "cookie", "credential", "key", "passw", "secret", "signature", "token"];

/// Whether the name of a header, or of another entry of a map, says that its value is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

impl<T: FieldType> FieldValue for BTreeMap<String, T> {
    fn check(&self, rules: &Rules, level: Level) -> Option<FieldErrors> {
        if level == Level::Rules && self.len() < rules.fewest {
            return Some(too_few(rules));
        }
        let most = rules.most.filter(|_| level == Level::Bounds);
        if let Some(Err(message)) = most.map(|most| bounds::at_most(self.len(), most, "entries")) {
            return Some(message.into());
        }
        if let Some(message) = self.keys().find_map(|key| check_key(key, rules, level).err()) {
            return Some(message.into());
        }
        let rules = rules.of_elements();
        of_values(self.iter().filter_map(|(key, value)| Some((key.clone(), value.check(&rules, level)?))))
    }

    fn show(&self, rules: &Rules) -> Value {
        let of_values = rules.of_elements();
        let shown = |(key, value): (&String, &T)| {
            let hidden = rules.secret && is_secret_name(key);
            (
                key.clone(),
                if hidden { HIDDEN.into() } else { value.show(&Rules { secret: false, ..of_values }) },
            )
        };
        Value::Object(self.iter().map(shown).collect())
    }

    fn ids(&self) -> Vec<Uuid> {
        self.values().flat_map(FieldValue::ids).collect()
    }
}

/// The errors of a map's values. As in Kong, one that is about a value as a whole stands for the map.
fn of_values(errors: impl Iterator<Item = (String, FieldErrors)>) -> Option<FieldErrors> {
    let mut nested = BTreeMap::new();
    for (key, error) in errors {
        if matches!(error, FieldErrors::Whole(_)) {
            return Some(error);
        }
        nested.insert(key, error);
    }
    (!nested.is_empty()).then_some(FieldErrors::Nested(nested))
}

fn check_key(key: &str, rules: &Rules, level: Level) -> Result<(), String> {
    match level {
        Level::Bounds => rules.longest.map_or(Ok(()), |longest| bounds::length(key, longest)),
        Level::Rules => rules.key.map_or(Ok(()), |check| check(key)),
    }
}

impl<T: FieldType> FieldType for BTreeMap<String, T> {
    fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
        let map = match value {
            Value::Object(map) => map,
            // Kong does not tell an empty record from an empty list.
            Value::Array(empty) if empty.is_empty() => Map::new(),
            _ => return Err("expected a map".into()),
        };
        let rules = rules.of_elements();
        let (mut read, mut errors) = (Self::new(), Vec::new());
        for (key, value) in map {
            match T::read(value, &rules, form) {
                Ok(_) if key.is_empty() => errors.push((key, "length must be at least 1".into())),
                Ok(value) => drop(read.insert(key, value)),
                Err(error) => errors.push((key, error)),
            }
        }
        of_values(errors.into_iter()).map_or(Ok(read), Err)
    }

    fn unreadable(_default: Self) -> Self {
        Self::new()
    }

    fn describe(rules: &Rules) -> Map<String, Value> {
        let mut schema = typed("map");
        schema.insert("keys".to_owned(), Value::Object(typed("string")));
        schema.insert("values".to_owned(), Value::Object(T::describe(&rules.of_elements())));
        add_lengths(&mut schema, rules);
        schema
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, Canonical(value))))
    }
}
