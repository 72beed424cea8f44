//! Several files as one document, in JSON. The list of a collection is that of the files one after another.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::bounded::MARK;
use crate::declarative::{Format, parse_with};

/// The parts of the document.
#[derive(Debug, Default)]
struct Merged {
    /// What is about the document, by key.
    header: BTreeMap<String, Value>,
    /// The elements of each collection, separated by commas.
    collections: BTreeMap<String, Vec<u8>>,
}

/// Merges files.
///
/// # Errors
/// The file that cannot be read, or that contradicts another one.
pub(super) fn merged(files: Vec<(&Path, Vec<u8>)>) -> Result<Vec<u8>, String> {
    let mut merged = Merged::default();
    for (path, text) in files {
        let format = Format::of_path(path).unwrap_or_else(|| Format::of_text(&text));
        parse_with(&text, format, FileSeed(&mut merged))
            .map_err(|message| format!("{}: {message}", path.display()))?;
    }
    Ok(merged.write())
}

impl Merged {
    fn write(self) -> Vec<u8> {
        let mut out = b"{".to_vec();
        let key = |name: &str, out: &mut Vec<u8>| {
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend_from_slice(Value::from(name).to_string().as_bytes());
            out.push(b':');
        };
        for (name, value) in self.header {
            key(&name, &mut out);
            out.extend_from_slice(value.to_string().as_bytes());
        }
        for (name, elements) in self.collections {
            key(&name, &mut out);
            out.push(b'[');
            out.extend_from_slice(&elements);
            out.push(b']');
        }
        out.push(b'}');
        out
    }

    fn header(&mut self, key: &str, value: Value) -> Result<(), String> {
        match self.header.get(key) {
            Some(other) if *other != value => {
                Err(format!("{key} is {value}, in a file before it is {other}"))
            }
            _ => {
                self.header.insert(key.to_owned(), value);
                Ok(())
            }
        }
    }
}

/// Reads a file.
struct FileSeed<'a>(&'a mut Merged);

impl<'de> DeserializeSeed<'de> for FileSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FileSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key.starts_with('_') {
                let value = map.next_value()?;
                if !["_comment", "_ignore"].contains(&key.as_str()) {
                    let contradicts = |reason| A::Error::custom(format!("{MARK}{reason}"));
                    self.0.header(&key, value).map_err(contradicts)?;
                }
            } else {
                let elements = self.0.collections.entry(key).or_default();
                map.next_value_seed(ElementsSeed(elements))?;
            }
        }
        Ok(())
    }
}

/// Adds the elements of a list; null is a list without any.
struct ElementsSeed<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for ElementsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(element) = list.next_element::<Value>()? {
            if !self.0.is_empty() {
                self.0.push(b',');
            }
            serde_json::to_writer(&mut *self.0, &element).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_one_document() {
        let yaml = b"_format_version: \"3.0\"\n_comment: x\nservices:\n- name: a\n".to_vec();
        let json = br#"{"_format_version":"3.0","services":[{"name":"b"}],"routes":null}"#.to_vec();
        let other = br#"{"_format_version":"1.1"}"#.to_vec();
        let merge = |files: Vec<(&str, Vec<u8>)>| {
            merged(files.into_iter().map(|(path, text)| (Path::new(path), text)).collect())
        };
        let text = merge(vec![("a.yml", yaml.clone()), ("b", json)]).unwrap();
        let expected = serde_json::json!({
            "_format_version": "3.0",
            "services": [{ "name": "a" }, { "name": "b" }],
            "routes": [],
        });
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), expected);
        let told = merge(vec![("a.yaml", yaml), ("c.json", other)]).unwrap_err();
        assert!(told.contains("c.json") && told.contains("_format_version"), "{told}");
    }
}
