//! Configuration from three sources: the compiled-in defaults, a TOML file, the environment.
//!
//! A later source overrides an earlier one, key by key. A program describes its keys as one struct of plain
//! values ("raw": `Default`, `Serialize`, `Deserialize` with `deny_unknown_fields`). It loads the struct here
//! and then parses each section into a checked form. Every fault is a [`ConfigError`] that names the key, the
//! value and its [`Origin`]. Passwords inside URLs are masked wherever a value is shown.
//!
//! The environment variable of the key `cluster.listen` is `GIBBON_CLUSTER__LISTEN`. A list is written as
//! `a,b` or `["a", "b"]`. Variables that begin with `GIBBON_TEST_` belong to tests and tools and are ignored;
//! any other `GIBBON_` variable must name a key.

mod mask;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::Serialized;
use figment::value::{Dict, Value};
use figment::{Figment, Profile};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use mask::mask_secrets;
use source::{Environment, File};

/// The prefix of every environment variable that is a key.
pub const ENV_PREFIX: &str = "GIBBON_";

/// Variables under this prefix are never read as keys.
pub const ENV_RESERVED: &str = "GIBBON_TEST_";

/// A raw configuration with the origin of each value.
#[derive(Debug)]
pub struct Loaded<Raw> {
    /// The values, typed but not yet checked for their meaning.
    pub raw: Raw,
    places: Places,
}

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in default.
    Default,
    /// The configuration file; lines are counted from 1.
    File {
        /// The path as it was given.
        path: PathBuf,
        /// `None` when the value's line is unknown.
        line: Option<usize>,
    },
    /// The environment variable of this name.
    Env(String),
}

/// Why a configuration cannot be used. The program ends with [`crate::exit::Code::Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing, unreadable or not TOML.
    #[error("cannot read the configuration file {}: {reason}", path.display())]
    File {
        /// The path as it was given.
        path: PathBuf,
        /// The reason, with the line if there is one.
        reason: String,
    },
    /// A key is unknown, or its value has the wrong type or makes no sense.
    #[error("{}", describe(.key, .value.as_deref(), .origin, .reason))]
    Key {
        /// The dotted key, as in `cluster.listen`.
        key: String,
        /// The value as it was given, secrets masked; `None` when the key itself is wrong.
        value: Option<String>,
        /// The source of the value.
        origin: Origin,
        /// The reason, and the expected form.
        reason: String,
    },
}

/// Loads a configuration: the defaults, then `file` if one is given, then this process's environment.
///
/// # Errors
///
/// The file is missing or not TOML; a key is unknown; a value is of the wrong type.
pub fn load<Raw>(file: Option<&Path>) -> Result<Loaded<Raw>, ConfigError>
where
    Raw: Default + Serialize + DeserializeOwned,
{
    // Names or values that are not UTF-8 cannot be keys.
    let variables =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    load_with(file, variables)
}

/// Loads like [`load`], with the given environment instead of the process's own.
///
/// # Errors
///
/// Those of [`load`].
pub fn load_with<Raw>(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded<Raw>, ConfigError>
where
    Raw: Default + Serialize + DeserializeOwned,
{
    let defaults = Figment::from(Serialized::defaults(Raw::default()));
    let places = Places {
        file: file.map(File::read).transpose()?,
        environment: Environment::new(variables, &defaults),
    };
    let mut figment = defaults;
    if let Some(file) = &places.file {
        figment = figment.merge(file.values());
    }
    figment = figment.merge(places.environment.values());
    let raw = figment.extract().map_err(|error| places.error(&figment, error))?;
    Ok(Loaded { raw, places })
}

impl<Raw> Loaded<Raw> {
    /// The origin of a key's value, the key dotted as in `cluster.listen`.
    pub fn origin(&self, key: &str) -> Origin {
        self.places.origin(key)
    }

    /// The error for a value that is well-typed but makes no sense.
    pub fn violation(&self, key: &str, value: impl fmt::Display, reason: impl fmt::Display) -> ConfigError {
        ConfigError::Key {
            key: key.to_owned(),
            value: Some(show(&value.to_string())),
            origin: self.origin(key),
            reason: reason.to_string(),
        }
    }
}

impl<Raw: Serialize> Loaded<Raw> {
    /// Every key with its value and origin, one a line, sorted; secrets masked.
    ///
    /// Each line is `key = value  # origin`, with the value in TOML. A key without a value is commented out.
    pub fn print_effective(&self) -> String {
        let values = Figment::from(Serialized::defaults(&self.raw)).extract::<Dict>().unwrap_or_default();
        let mut lines = Vec::new();
        flatten("", &values, &mut |key, value| {
            let line = match value {
                Value::Empty(..) => format!("# {key} is not set\n"),
                value => format!("{key} = {}  # {}\n", render(value), self.origin(key)),
            };
            lines.push((key.to_owned(), line));
        });
        lines.sort();
        lines.into_iter().map(|(_, line)| line).collect()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
        }
    }
}

/// The sources besides the defaults.
#[derive(Debug)]
struct Places {
    file: Option<File>,
    environment: Environment,
}

impl Places {
    fn origin(&self, key: &str) -> Origin {
        if let Some(name) = self.environment.name_of(key) {
            return Origin::Env(name);
        }
        match self.file.as_ref().filter(|file| file.holds(key)) {
            Some(file) => Origin::File { path: file.path().to_owned(), line: file.line_of(key) },
            None => Origin::Default,
        }
    }

    /// Adds the line or the variable's name to an error: Figment knows only the path of the key.
    fn error(&self, values: &Figment, error: figment::Error) -> ConfigError {
        let key = error.path.join(".");
        let (shown, reason) = match &error.kind {
            Kind::UnknownField(_, known) => {
                (false, format!("there is no such key; the keys here are {}", known.join(", ")))
            }
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
                (true, format!("must be {}", in_words(expected)))
            }
            Kind::UnknownVariant(_, known) => (true, format!("must be one of {}", known.join(", "))),
            kind => (true, mask_secrets(&kind.to_string()).into_owned()),
        };
        let all = values.extract::<Value>().ok().filter(|_| shown);
        ConfigError::Key {
            value: all.as_ref().and_then(|all| at_path(all, &error.path)).map(render),
            origin: self.origin(&key),
            reason,
            key,
        }
    }
}

fn describe(key: &str, value: Option<&str>, origin: &Origin, reason: &str) -> String {
    match value {
        Some(value) => format!("bad configuration: {key} = {value} ({origin}): {reason}"),
        None => format!("bad configuration: {key} ({origin}): {reason}"),
    }
}

/// Shows a value as it was given, also when it is empty.
fn show(value: &str) -> String {
    if value.is_empty() { "\"\"".to_owned() } else { mask_secrets(value).into_owned() }
}

/// Translates serde's expectation for operators who do not know Rust.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => format!("a whole number that fits {expected}"),
        expected if expected.starts_with("struct ") => "a table".to_owned(),
        expected => expected.to_owned(),
    }
}

/// Like `Value::find_ref`, but also finds elements of lists.
fn at_path<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| match value {
        Value::Dict(_, items) => items.get(part),
        Value::Array(_, items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

fn flatten(prefix: &str, values: &Dict, visit: &mut impl FnMut(&str, &Value)) {
    for (name, value) in values {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) => flatten(&key, inner, visit),
            value => visit(&key, value),
        }
    }
}

/// A value in TOML, secrets masked.
fn render(value: &Value) -> String {
    match value {
        Value::String(_, text) => toml_edit::Value::from(mask_secrets(text).as_ref()).to_string(),
        Value::Char(_, c) => toml_edit::Value::from(c.to_string()).to_string(),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(..) => serde_json::to_string(value).unwrap_or_default(),
        Value::Empty(..) => "(not set)".to_owned(),
        Value::Array(_, items) => {
            format!("[{}]", items.iter().map(render).collect::<Vec<_>>().join(", "))
        }
        Value::Dict(_, items) => {
            let items = items.iter().map(|(name, value)| format!("{name} = {}", render(value)));
            format!("{{ {} }}", items.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The profile under which every source stores its values: there is only one.
fn profile(values: Dict) -> figment::value::Map<Profile, Dict> {
    Profile::Default.collect(values)
}

#[cfg(test)]
mod tests;
