//! Reads typed values from the fields of a body and collects every violation, so that a client gets all of
//! them at once.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use model::{FieldErrors, Violations};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::body::Body;

/// The fields of a body. Reading a field removes it; fields that remain at the end are unknown. A field that
/// is `null` counts as not given.
pub(super) struct Fields {
    left: Map<String, Value>,
    form: bool,
    violations: Violations,
}

impl Fields {
    /// Takes the fields of `body`, with the violations found so far.
    pub(super) fn new(body: Body, violations: Violations) -> Self {
        Self { left: body.fields, form: body.form, violations }
    }

    /// Returns the violations so far.
    pub(super) fn violations(&mut self) -> &mut Violations {
        &mut self.violations
    }

    /// Returns all violations, unknown fields included.
    pub(super) fn finish(mut self) -> Violations {
        for name in self.left.keys() {
            self.violations.field(name, "unknown field");
        }
        self.violations
    }

    pub(super) fn string(&mut self, name: &str) -> Option<String> {
        let read = self.take(name)?.as_str().map(str::to_owned);
        match read.as_deref() {
            None => self.wrong(name, "expected a string"),
            Some("") => self.wrong(name, "length must be at least 1"),
            Some(_) => read,
        }
    }

    /// Reads a required string.
    pub(super) fn required_string(&mut self, name: &str) -> Option<String> {
        self.require(name);
        self.string(name)
    }

    /// Reads a PEM text, in the canonical form that `parse` gives it.
    pub(super) fn pem(&mut self, name: &str, parse: fn(&str) -> Result<String, String>) -> Option<String> {
        let text = self.string(name)?;
        match parse(&text) {
            Ok(canonical) => Some(canonical),
            Err(message) => self.wrong(name, &message),
        }
    }

    /// Reads a required PEM text.
    pub(super) fn required_pem(
        &mut self,
        name: &str,
        parse: fn(&str) -> Result<String, String>,
    ) -> Option<String> {
        self.require(name);
        self.pem(name, parse)
    }

    /// Reads one of a few words.
    pub(super) fn one_of(&mut self, name: &str, words: &[&str]) -> Option<String> {
        let word = self.string(name)?;
        if words.contains(&word.as_str()) {
            return Some(word);
        }
        self.wrong(name, &format!("expected one of: {}", words.join(", ")))
    }

    pub(super) fn integer<T: TryFrom<i64>>(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<T> {
        let value = self.take(name)?;
        let Some(number) = integer(&value, self.form) else {
            return self.wrong(name, "expected an integer");
        };
        let read = Some(number).filter(|number| range.contains(number)).and_then(|n| T::try_from(n).ok());
        read.or_else(|| self.wrong(name, &between(&range)))
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        let text = value.as_str().filter(|_| self.form);
        match (value.as_bool(), text) {
            (Some(boolean), _) => Some(boolean),
            (None, Some("true")) => Some(true),
            (None, Some("false")) => Some(false),
            (None, _) => self.wrong(name, "expected a boolean"),
        }
    }

    pub(super) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        let value = self.take(name)?;
        value.as_str().and_then(parse_uuid).or_else(|| self.wrong(name, "expected a valid UUID"))
    }

    /// Reads a list of strings without duplicates, in the order given.
    pub(super) fn set(&mut self, name: &str) -> Option<Vec<String>> {
        let list = self.list(name)?;
        let mut seen = HashSet::with_capacity(list.len());
        for (index, element) in list.iter().enumerate() {
            match element.as_str() {
                Some(text) => {
                    seen.insert(text);
                }
                None => self.violations.element(name, index, "expected a string"),
            }
        }
        let texts = list.iter().filter_map(Value::as_str);
        // The set still holds the first of equal texts.
        Some(texts.filter(|text| seen.remove(text)).map(str::to_owned).collect())
    }

    /// Reads a list of UUIDs.
    pub(super) fn uuids(&mut self, name: &str) -> Option<Vec<Uuid>> {
        let list = self.list(name)?;
        let mut ids = Vec::with_capacity(list.len());
        for (index, element) in list.iter().enumerate() {
            match element.as_str().and_then(parse_uuid) {
                Some(id) => ids.push(id),
                None => self.violations.element(name, index, "expected a valid UUID"),
            }
        }
        Some(ids)
    }

    /// Reads a map from names to lists of strings.
    pub(super) fn map_of_lists(&mut self, name: &str) -> Option<Map<String, Value>> {
        let Value::Object(mut map) = self.take(name)? else {
            return self.wrong(name, "expected a map");
        };
        for (key, value) in &mut map {
            if self.form && value.is_string() {
                *value = json!([value.take()]);
            }
            match value.as_array() {
                None => self.violations.field(name, "expected an array"),
                Some(list) if !list.iter().all(Value::is_string) => {
                    self.nested(name, key, "expected an array of strings");
                }
                Some(_) => {}
            }
        }
        Some(map)
    }

    /// Reads a list of addresses, `{ip, port}`.
    pub(super) fn endpoints(&mut self, name: &str) -> Option<Vec<Value>> {
        let list = self.list(name)?;
        let (mut endpoints, mut seen) = (Vec::with_capacity(list.len()), HashSet::new());
        for (index, element) in list.into_iter().enumerate() {
            match endpoint(element, self.form) {
                Ok(endpoint) if seen.insert(endpoint.to_string()) => endpoints.push(endpoint),
                Ok(_) => {}
                Err(message) => self.violations.element(name, index, message),
            }
        }
        Some(endpoints)
    }

    /// Reads the id of another entity, given as `{"id": …}`.
    pub(super) fn reference(&mut self, name: &str) -> Option<Uuid> {
        let Value::Object(map) = self.take(name)? else {
            return self.wrong(name, "expected a record");
        };
        let unknown: Vec<&String> = map.keys().filter(|key| *key != "id").collect();
        unknown.iter().for_each(|key| self.nested(name, key, "unknown field"));
        match map.get("id").filter(|id| !id.is_null()) {
            None => self.nested(name, "id", "required field missing"),
            Some(id) => match id.as_str().and_then(parse_uuid) {
                Some(id) if unknown.is_empty() => return Some(id),
                Some(_) => {}
                None => self.nested(name, "id", "expected a valid UUID"),
            },
        }
        None
    }

    /// Reads a required reference.
    pub(super) fn required_reference(&mut self, name: &str) -> Option<Uuid> {
        self.require(name);
        self.reference(name)
    }

    fn require(&mut self, name: &str) {
        if self.left.get(name).is_none_or(Value::is_null) {
            self.violations.field(name, "required field missing");
        }
    }

    fn list(&mut self, name: &str) -> Option<Vec<Value>> {
        match self.take(name)? {
            Value::Array(list) => Some(list),
            one @ Value::String(_) if self.form => Some(vec![one]),
            _ => self.wrong(name, "expected an array"),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn wrong<T>(&mut self, name: &str, message: &str) -> Option<T> {
        self.violations.field(name, message);
        None
    }

    fn nested(&mut self, name: &str, key: &str, message: &str) {
        let empty = || FieldErrors::Nested(std::collections::BTreeMap::new());
        if let FieldErrors::Nested(fields) =
            self.violations.fields.entry(name.to_owned()).or_insert_with(empty)
        {
            fields.insert(key.to_owned(), FieldErrors::Whole(message.to_owned()));
        }
    }
}

fn endpoint(element: Value, form: bool) -> Result<Value, String> {
    let Value::Object(map) = element else {
        return Err("expected a record".into());
    };
    let mut endpoint = Map::new();
    for (key, value) in map {
        let read = match (key.as_str(), &value) {
            (_, Value::Null) => continue,
            ("ip", Value::String(_)) => value,
            ("ip", _) => return Err("ip: expected a string".into()),
            ("port", _) => match integer(&value, form) {
                Some(port) if (0..=65_535).contains(&port) => json!(port),
                Some(_) => return Err(format!("port: {}", between(&(0..=65_535)))),
                None => return Err("port: expected an integer".into()),
            },
            _ => return Err(format!("{key}: unknown field")),
        };
        endpoint.insert(key, read);
    }
    Ok(Value::Object(endpoint))
}

/// Reads a number without a fraction, or, in a form, digits.
fn integer(value: &Value, form: bool) -> Option<i64> {
    // Whole numbers up to here are exact as floating point.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = |number: f64| number.fract() == 0.0 && number.abs() <= EXACT;
    match value {
        Value::String(text) if form => text.parse().ok(),
        #[expect(clippy::cast_possible_truncation, reason = "it is a whole number within the exact range")]
        Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().filter(|n| whole(*n)).map(|n| n as i64))
        }
        _ => None,
    }
}

/// Parses a UUID in the form in which ids are shown: 36 characters, in either case.
fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|_| text.len() == 36)
}

fn between(range: &RangeInclusive<i64>) -> String {
    format!("value should be between {} and {}", range.start(), range.end())
}

#[cfg(test)]
mod tests;
