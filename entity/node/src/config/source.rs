//! The file and the environment as sources: the values of each, and the place of a key in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use toml_edit::{ImDocument, Item};

use super::{ConfigError, ENV_PREFIX, ENV_RESERVED, profile};

/// A TOML file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    document: ImDocument<String>,
    values: Dict,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |reason| ConfigError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let document = ImDocument::parse(text.clone()).map_err(|error| fail(syntax(&text, &error)))?;
        let values = toml_edit::de::from_str(&text).map_err(|error| fail(error.message().to_owned()))?;
        Ok(Self { path: path.to_owned(), document, values })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The line on which a key's value begins, from 1.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let span = self.find(key)?.span()?;
        Some(line_at(self.document.raw(), span.start))
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values(&self.values)
    }

    /// The item of a key, or of the nearest list above it: in an error, `listen.0` is an element of one.
    fn find(&self, key: &str) -> Option<&Item> {
        let mut item = self.document.as_item();
        for part in key.split('.') {
            match item.as_table_like() {
                Some(table) => item = table.get(part)?,
                None => return Some(item).filter(|item| item.is_array() || item.is_array_of_tables()),
            }
        }
        Some(item)
    }
}

/// The variables that set keys.
#[derive(Debug)]
pub(super) struct Environment {
    /// The key of each variable, dotted, to its name.
    names: BTreeMap<String, String>,
    values: Dict,
}

impl Environment {
    /// `defaults` decides how to read a value that has several readings.
    pub(super) fn new(
        variables: impl IntoIterator<Item = (String, String)>,
        defaults: &Figment,
    ) -> Environment {
        let mut names = BTreeMap::new();
        let mut figment = Figment::new();
        for (name, text) in variables {
            let Some(path) = name.strip_prefix(ENV_PREFIX).filter(|_| !name.starts_with(ENV_RESERVED)) else {
                continue;
            };
            let key = path.to_ascii_lowercase().replace("__", ".");
            let value = read_variable(&text, defaults.find_value(&key).ok().as_ref());
            if let Some(nested) = figment::util::nest(&key, value).into_dict() {
                figment = figment.merge(Values(&nested));
            }
            names.insert(key, name);
        }
        Self { names, values: figment.extract().unwrap_or_default() }
    }

    /// The variable that set a key: by its own name, by a list or table above it, or by a part of it.
    pub(super) fn name_of(&self, key: &str) -> Option<String> {
        let related = |set: &str| within(key, set) || within(set, key);
        self.names.iter().find(|(set, _)| related(set)).map(|(_, name)| name.clone())
    }

    pub(super) fn values(&self) -> Values<'_> {
        Values(&self.values)
    }
}

/// Parsed values in the form that Figment reads.
pub(super) struct Values<'a>(&'a Dict);

impl Provider for Values<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::default()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(profile(self.0.clone()))
    }
}

/// Parses a variable by the type of its default. A variable has no type of its own: `8001` may be meant as
/// text, `a,b` as a list.
fn read_variable(text: &str, default: Option<&Value>) -> Value {
    match default {
        Some(Value::String(..)) => Value::from(text),
        Some(Value::Array(..)) if !text.trim_start().starts_with('[') => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>().into()
        }
        _ => text.parse().unwrap_or_else(|never| match never {}),
    }
}

/// The reason and the line of a syntax error. The text of the line is not shown, since it may hold a
/// password.
fn syntax(text: &str, error: &toml_edit::TomlError) -> String {
    let reason = error.message().trim_end().replace('\n', ", ");
    match error.span() {
        Some(span) => format!("line {}: {reason}", line_at(text, span.start)),
        None => reason,
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn within(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
