//! The schema of a plugin, in the form that Kong's clients read: what it has beyond all plugins.

use serde_json::{Map, Value, json};

use super::{PluginKind, Protocols, Scopes};
use crate::protocol::Protocol;
use crate::schema;

impl PluginKind {
    /// The schema of the plugin.
    pub fn schema(&self) -> Value {
        let Scopes { consumer, route, service } = self.scopes;
        let scopes = [
            ("consumer", "consumers", consumer),
            ("route", "routes", route),
            ("service", "services", service),
        ];
        let mut fields: Vec<Value> = scopes
            .into_iter()
            .filter(|(.., allowed)| !allowed)
            .map(|(name, collection, _)| {
                json!({ name: { "type": "foreign", "reference": collection, "eq": null } })
            })
            .collect();
        fields.push(json!({ "protocols": self.protocols.describe() }));
        fields.push(json!({ "config": self.describe_config() }));
        json!({ "entity_checks": (self.checks)(), "fields": fields })
    }

    /// The schema of its configuration alone.
    pub fn config_schema(&self) -> Value {
        json!({ "fields": schema::fields(self.fields()) })
    }

    fn describe_config(&self) -> Value {
        let mut config = json!({ "type": "record", "required": true });
        config["fields"] = schema::fields(self.fields());
        let shorthands = self.shorthands();
        if !shorthands.is_empty() {
            let described = shorthands.iter().map(|shorthand| {
                let attributes = Value::Object(shorthand.describe(self.name, self.fields()));
                Value::Object(Map::from_iter([(shorthand.name.to_owned(), attributes)]))
            });
            config["shorthand_fields"] = described.collect();
        }
        config
    }
}

impl Protocols {
    fn describe(self) -> Value {
        let names =
            |all: &[Protocol]| all.iter().map(|protocol| Value::from(protocol.as_str())).collect::<Value>();
        json!({
            "type": "set",
            "required": true,
            "description": "The protocols of the requests that the plugin is for.",
            "default": names(self.default),
            "elements": { "type": "string", "one_of": names(self.allowed) },
        })
    }
}
