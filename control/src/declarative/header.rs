//! What a document says about itself: its format, and which entities it is about.

use model::bounds;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::bounded::Bounds;

/// The keys that are about the document.
pub(super) const FORMAT: &str = "_format_version";
pub(super) const TRANSFORM: &str = "_transform";
pub(super) const INFO: &str = "_info";
pub(super) const WORKSPACE: &str = "_workspace";
/// The keys whose values are for people.
pub(super) const IGNORED: [&str; 2] = ["_comment", "_ignore"];

/// The formats.
const FORMATS: [&str; 3] = ["1.1", "2.1", "3.0"];

/// What stands before the collections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    format: Option<Result<&'static str, String>>,
    info: Option<Result<Vec<String>, String>>,
}

impl Header {
    /// Whether paths of routes are in the form that they had before format 3.0.
    pub(super) fn has_older_paths(&self) -> bool {
        matches!(&self.format, Some(Ok(format)) if *format != "3.0")
    }

    /// The tags of the entities that the document is about, as decK's files name them.
    pub(super) fn select_tags(&self) -> &[String] {
        self.info.as_ref().and_then(|info| info.as_deref().ok()).unwrap_or_default()
    }

    /// Whether `_info` was read.
    pub(super) fn has_info(&self) -> bool {
        self.info.is_some()
    }

    /// What is wrong, by key.
    pub(super) fn errors(&self) -> impl Iterator<Item = (&'static str, String)> {
        let format = match &self.format {
            None => Some("required field missing".to_owned()),
            Some(format) => format.as_ref().err().cloned(),
        };
        let info = self.info.as_ref().and_then(|info| info.as_ref().err().cloned());
        [(FORMAT, format), (INFO, info)].into_iter().filter_map(|(key, error)| Some((key, error?)))
    }

    fn read(&mut self, key: &str, value: &Value) {
        match key {
            FORMAT => self.format = Some(format(value)),
            _ => self.info = Some(info(value)),
        }
    }
}

/// A format, as a text or, in YAML without quotes, as a number.
fn format(value: &Value) -> Result<&'static str, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => format!("{:.1}", number.as_f64().unwrap_or_default()),
        _ => return Err("expected a string".to_owned()),
    };
    let found = FORMATS.iter().find(|format| **format == text).copied();
    let shown: String = text.chars().take(40).collect();
    found.ok_or_else(|| format!("expected one of: {}; it is '{shown}'", FORMATS.join(", ")))
}

/// The message for a selection that would silently be one of everything.
const NO_TAG: &str = "select_tags: must name a tag, or be left out";

/// Reads `_info` of decK: the tags.
fn info(value: &Value) -> Result<Vec<String>, String> {
    let Value::Object(info) = value else { return Err("expected a record".to_owned()) };
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    let is_known = |name: &str, value: &Value| name == "select_tags" || name == "defaults" && is_empty(value);
    let unknown = info.iter().find(|(name, value)| !is_known(name, value));
    match unknown {
        Some((name, _)) if name == "defaults" => {
            return Err("defaults are not supported: set the fields in the entities".to_owned());
        }
        Some((name, _)) => {
            let name: String = name.chars().take(40).collect();
            return Err(format!("unknown field '{name}'"));
        }
        None => {}
    }
    match info.get("select_tags") {
        None => Ok(Vec::new()),
        Some(Value::Null) => Err(NO_TAG.to_owned()),
        Some(Value::Array(tags)) if tags.is_empty() => Err(NO_TAG.to_owned()),
        Some(Value::Array(tags)) if tags.len() > bounds::TAGS => {
            Err(format!("select_tags: must have at most {} elements, it has {}", bounds::TAGS, tags.len()))
        }
        Some(Value::Array(tags)) => {
            let is_tag = |tag: &&str| !tag.is_empty() && !tag.contains([',', '/']);
            let tags = tags.iter().map(|tag| tag.as_str().filter(is_tag).map(str::to_owned));
            tags.collect::<Option<_>>().ok_or_else(|| "select_tags: expected an array of tags".to_owned())
        }
        Some(_) => Err("select_tags: expected an array".to_owned()),
    }
}

/// Checks `_workspace` of decK: there is one.
pub(super) fn workspace(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null => None,
        Value::String(name) if name == "default" => None,
        _ => Some("must be 'default': there are no others"),
    }
}

/// Checks `_transform`.
pub(super) fn transform(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null | Value::Bool(true) => None,
        Value::Bool(false) => Some("must be true: entities are stored as they are given"),
        _ => Some("expected a boolean"),
    }
}

/// Reads a document up to its first collection, or to its end if its format does not stand before.
pub(super) struct HeaderSeed<'a>(pub(super) &'a mut Header);

/// The message of the error with which the reading of a header ends before the end of the document.
pub(super) const COMPLETE: &str = "the header is complete";

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                FORMAT | INFO => {
                    let value = map.next_value_seed(Bounds::new().value())?;
                    self.0.read(&key, &value);
                }
                _ if self.0.format.is_some() && !key.starts_with('_') => {
                    return Err(A::Error::custom(COMPLETE));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}
