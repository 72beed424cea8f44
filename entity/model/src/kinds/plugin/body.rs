//! The two forms of a plugin's configuration. A body has its fields. The canonical bytes have it as the one
//! member of a record, whose name is that of the plugin.

use serde_json::{Map, Value};

use crate::members::MARK;
use crate::plugin::{PluginKind, Protocols};
use crate::plugins;
use crate::violations::Violations;

/// The most characters of an unknown name that a message repeats.
const SHOWN: usize = 100;

/// Brings the configuration of a body into the form in which it is read, and completes the protocols.
///
/// # Errors
/// When the plugin is unknown: nothing else can be checked.
pub(super) fn prepare(fields: &mut Map<String, Value>, violations: &mut Violations) -> Result<(), Violations> {
    let plugin = plugin(fields).map_err(|message| {
        let mut unknown = Violations::default();
        unknown.field("name", message);
        unknown
    })?;
    let config = fields.remove("config").filter(|config| !config.is_null());
    let config = config.unwrap_or_else(|| Value::Object(Map::new()));
    let tagged = Map::from_iter([(plugins::tag(plugin.name), config)]);
    fields.insert("config".to_owned(), Value::Object(tagged));
    check_protocols(plugin.protocols, fields, violations);
    Ok(())
}

fn plugin(fields: &Map<String, Value>) -> Result<&'static PluginKind, String> {
    match fields.get("name") {
        None | Some(Value::Null) => Err("required field missing".to_owned()),
        Some(Value::String(name)) => PluginKind::named(name).ok_or_else(|| {
            let name: String = name.chars().take(SHOWN).collect();
            format!("plugin '{name}' not enabled; add it to the 'plugins' configuration property")
        }),
        Some(_) => Err("expected a string".to_owned()),
    }
}

/// The words that a list may hold are those of the plugin, and so is the list of a body without one.
fn check_protocols(protocols: Protocols, fields: &mut Map<String, Value>, violations: &mut Violations) {
    let given = match fields.get("protocols") {
        None | Some(Value::Null) => {
            let default = protocols.default.iter().map(|protocol| Value::from(protocol.as_str()));
            fields.insert("protocols".to_owned(), default.collect());
            return;
        }
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    for (index, name) in given.iter().enumerate().filter_map(|(index, name)| Some((index, name.as_str()?))) {
        if !protocols.allowed.iter().any(|protocol| protocol.as_str() == name) {
            violations.element("protocols", index, protocols.expected());
        }
    }
}

/// The fields of a configuration in either form.
pub(super) fn content(config: &mut Value) -> Option<&mut Map<String, Value>> {
    let members = config.as_object_mut()?;
    let is_tagged = members.keys().next().is_some_and(|name| name.as_bytes().first() == Some(&MARK));
    if !is_tagged {
        return Some(members);
    }
    members.values_mut().next()?.as_object_mut()
}

/// Brings a configuration of canonical bytes into the form of a body.
pub(super) fn unpack(config: &mut Value) {
    if let Some(fields) = content(config) {
        let fields = std::mem::take(fields);
        *config = Value::Object(fields);
    }
}
