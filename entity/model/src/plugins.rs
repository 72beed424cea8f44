//! The configurations of the plugins: one file each, and one line in
//! [`with_every_plugin`](crate::with_every_plugin).
//!
//! The canonical form of a configuration is a record with one member, whose name is that of the plugin. It has
//! the mark of a field that must be understood: a data plane that does not know the plugin refuses the entity.

pub mod counting;
pub mod custom_field;
pub mod edits;
mod endpoint;
pub mod expressions;
pub mod queue;
pub mod redact;

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serializer};
use serde_json::{Map, Value, json};

use crate::field::{FieldType, FieldValue, Level};
use crate::members::{self, MARK};
use crate::plugin::{PluginConfig, PluginKind};
use crate::rules::Rules;
use crate::violations::{FieldErrors, Violations};
use crate::{Check, marks, nested, record};

macro_rules! configs {
    ($($name:ident = $module:ident;)*) => {
        $(pub mod $module;
        pub use $module::$name;)*

        /// Every plugin, by no order.
        pub static PLUGINS: &[PluginKind] = &[$(PluginKind::of::<$name>()),*];

        /// The configuration of any plugin.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Config {
            $(#[doc = concat!("That of the module `", stringify!($module), "`.")]
            $name(Box<$name>),)*
        }

        impl Config {
            /// The name of the plugin.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => <$name as PluginConfig>::NAME,)* }
            }

            /// The configuration of the plugin of this name with every default.
            fn default_of(name: &str) -> Option<Self> {
                $(if name == <$name as PluginConfig>::NAME {
                    return Some(Self::$name(Box::default()));
                })*
                None
            }

            /// The rules and bounds that it breaks.
            pub(crate) fn violations(&self, level: Level) -> Violations {
                match self { $(Self::$name(config) => record::check(&**config, level),)* }
            }

            /// The rules that it breaks and that are narrower for what is written.
            pub(crate) fn written_violations(&self) -> Violations {
                let mut violations = Violations::default();
                match self { $(Self::$name(config) => config.written_rules(&mut violations),)* }
                violations
            }

            fn record(&self) -> Map<String, Value> {
                match self { $(Self::$name(config) => record::show(&**config),)* }
            }

            /// Reads what a body gives in place of the defaults of this one.
            fn fill(&mut self, given: Value, form: bool) -> Option<FieldErrors> {
                match self {
                    $(Self::$name(config) => {
                        let (read, errors) = nested::read_part(given, form);
                        *config = Box::new(read.unwrap_or_default());
                        errors
                    })*
                }
            }

            fn next_value<'de, A: MapAccess<'de>>(&mut self, members: &mut A) -> Result<(), A::Error> {
                match self { $(Self::$name(config) => **config = members.next_value()?,)* }
                Ok(())
            }

            fn entry<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                match self { $(Self::$name(config) => map.serialize_entry(&tag(self.name()), &**config),)* }
            }
        }
    };
}

crate::with_every_plugin!(configs);

impl PluginKind {
    /// The plugin of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PLUGINS.iter().find(|plugin| plugin.name == name)
    }
}

#[cfg(test)]
pub(crate) mod tests;

/// The member of the canonical form that holds the configuration of a plugin.
pub(crate) fn tag(name: &str) -> String {
    format!("{}{name}", char::from(MARK))
}

impl Config {
    /// The plugin.
    pub fn kind(&self) -> &'static PluginKind {
        PluginKind::named(self.name()).expect("every configuration is that of a plugin of the list")
    }
}

/// That of the first plugin: a stand-in, until a body or canonical bytes are read.
impl Default for Config {
    fn default() -> Self {
        Self::KeyAuth(Box::default())
    }
}

impl FieldValue for Config {
    /// The rules of the plugin check it, since some violations are not of the field alone.
    fn check(&self, _rules: &Rules, _level: Level) -> Option<FieldErrors> {
        None
    }

    /// Values are shown under the earlier names of their fields, too.
    fn show(&self, _rules: &Rules) -> Value {
        let mut view = self.record();
        for shorthand in self.kind().shorthands() {
            if let Some(value) = shorthand.value(&view).cloned() {
                view.insert(shorthand.name.to_owned(), value);
            }
        }
        Value::Object(view)
    }
}

impl FieldType for Config {
    fn read(value: Value, rules: &Rules, form: bool) -> Result<Self, FieldErrors> {
        match Self::read_part(value, rules, form) {
            (Some(read), None) => Ok(read),
            (_, errors) => Err(errors.unwrap_or_else(|| "expected a record".into())),
        }
    }

    /// Reads the form that the plugin has given the body: one member, whose name is its tag.
    fn read_part(value: Value, _rules: &Rules, form: bool) -> (Option<Self>, Option<FieldErrors>) {
        let Value::Object(members) = value else { return (None, Some("expected a record".into())) };
        let tagged = members.into_iter().next();
        let found = tagged.and_then(|(tag, given)| {
            let config = Self::default_of(tag.strip_prefix(char::from(MARK))?)?;
            Some((config, given))
        });
        match found {
            Some((mut config, given)) => {
                let errors = config.fill(given, form);
                (Some(config), errors)
            }
            None => (None, Some("expected a record".into())),
        }
    }

    fn describe(_rules: &Rules) -> Map<String, Value> {
        let schema = json!({ "type": "record", "abstract": true, "fields": [] });
        schema.as_object().cloned().unwrap_or_default()
    }

    fn marks(value: Option<&Value>, path: &str, found: &mut Vec<String>) {
        let Some(value) = value else {
            for plugin in PLUGINS {
                let path = format!("{path}.{}", plugin.name);
                marks::find(plugin.fields(), None, &path, found);
                found.push(path);
            }
            return;
        };
        for (tag, config) in value.as_object().into_iter().flatten() {
            let Some(name) = tag.strip_prefix(char::from(MARK)) else { continue };
            let path = format!("{path}.{name}");
            let fields = PluginKind::named(name).map(PluginKind::fields).unwrap_or_default();
            marks::find(fields, Some(config), &path, found);
            found.push(path);
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        self.entry(&mut map)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Tagged)
    }
}

/// Reads the canonical form.
struct Tagged;

impl<'de> Visitor<'de> for Tagged {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record with the configuration of one plugin")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Config, A::Error> {
        let tag: String =
            members.next_key()?.ok_or_else(|| A::Error::custom("the configuration is missing"))?;
        let name = tag.strip_prefix(char::from(MARK)).unwrap_or(&tag);
        let mut config = Config::default_of(name).ok_or_else(|| members::unknown(name))?;
        config.next_value(&mut members)?;
        match members.next_key::<String>()? {
            None => Ok(config),
            Some(_) => Err(A::Error::custom("the configuration is that of two plugins")),
        }
    }
}
