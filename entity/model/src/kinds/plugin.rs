//! A plugin: what is done with requests and responses beyond routing, for all of them or for those of a route, a
//! service or a consumer.

mod body;

use model_derive::Record;
use serde_json::{Map, Value};
use uuid::Uuid;
use wire::Kind;

use crate::bounds;
use crate::check::text;
use crate::entity::{Entity, Input};
use crate::field::Level;
use crate::kind;
use crate::plugin::PluginKind;
use crate::plugins::{Config, PLUGINS};
use crate::protocol::{PluginProtocol, Protocol};
use crate::record::{self, Check, Record as _};
use crate::secrets;
use crate::violations::{FieldErrors, Violations};

/// A plugin. Its canonical bytes follow the rules of a [`crate::Service`]; those of its configuration, the rules
/// of [`crate::plugins`]. A plugin that is not enabled is as if it did not exist.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Plugin {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// What the plugin does.
    #[field(required)]
    pub name: String,
    /// Unique name of this plugin.
    #[field(unique, longest = bounds::NAME, is = text::name)]
    pub instance_name: Option<String>,
    /// The consumer whose requests the plugin is for; null: any.
    #[field(belongs_to(kind::CONSUMER))]
    pub consumer: Option<Uuid>,
    /// The route whose requests the plugin is for; null: any.
    #[field(belongs_to(kind::ROUTE))]
    pub route: Option<Uuid>,
    /// The service whose requests the plugin is for; null: any.
    #[field(belongs_to(kind::SERVICE))]
    pub service: Option<Uuid>,
    /// The protocols of the requests that the plugin is for. A set, in the order given.
    #[field(
        set,
        default = [Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https].map(PluginProtocol).into()
    )]
    pub protocols: Vec<PluginProtocol>,
    /// Whether the plugin is applied.
    #[field(default = true)]
    pub enabled: bool,
    /// How it does it.
    pub config: Config,
}

impl Plugin {
    /// Checks the entities that it is for: some plugins act before they are known.
    fn check_scopes(&self, violations: &mut Violations) {
        let scopes = self.config.kind().scopes;
        let given = [
            ("consumer", self.consumer, scopes.consumer),
            ("route", self.route, scopes.route),
            ("service", self.service, scopes.service),
        ];
        for (name, ..) in given.into_iter().filter(|(_, id, allowed)| id.is_some() && !allowed) {
            violations.field(name, "value must be null");
        }
    }

    fn check_protocols(&self, violations: &mut Violations) {
        let protocols = self.config.kind().protocols;
        for (index, protocol) in self.protocols.iter().enumerate() {
            if !protocols.allowed.contains(&protocol.0) {
                violations.element("protocols", index, protocols.expected());
            }
        }
    }
}

/// Adds the violations of a configuration. Rules between its fields are about the plugin.
fn add(violations: &mut Violations, of_config: Violations) {
    let Violations { entity, whole, fields } = of_config;
    violations.entity.extend(entity);
    let of_fields = (!fields.is_empty()).then_some(FieldErrors::Nested(fields));
    let of_config = of_fields.or(whole.map(FieldErrors::Whole));
    of_config.into_iter().for_each(|errors| violations.at("config", errors));
}

impl Check for Plugin {
    fn rules(&self, violations: &mut Violations) {
        if self.name != self.config.name() {
            let message = format!("the configuration is that of the plugin '{}'", self.config.name());
            violations.field("name", message);
        }
        self.check_scopes(violations);
        self.check_protocols(violations);
        add(violations, self.config.violations(Level::Rules));
    }

    fn bounds(&self, violations: &mut Violations) {
        add(violations, self.config.violations(Level::Bounds));
    }

    fn written_rules(&self, violations: &mut Violations) {
        add(violations, self.config.written_violations());
    }
}

impl Entity for Plugin {
    const KIND: Kind = kind::PLUGIN;
    const NOUN: &'static str = "plugin";
    const ENDPOINT_KEY: Option<&'static str> = Some("instance_name");
    const UNIQUE_TOGETHER: &'static [&'static str] = &["consumer", "name", "route", "service"];

    fn imply(held: Option<&Self>, Input { fields, form }: &mut Input, violations: &mut Violations) {
        let given = fields.get("name").and_then(Value::as_str);
        let plugin = match given {
            Some(name) => PluginKind::named(name),
            None => held.map(|held| held.config.kind()),
        };
        if let (Some(plugin), Some(Value::Object(config))) = (plugin, fields.get_mut("config")) {
            plugin.imply(config, *form, violations);
        }
    }

    /// The configuration is a record, whose fields are those of the plugin.
    fn merge(shown: &mut Map<String, Value>, mut given: Map<String, Value>) {
        let plugin = shown.get("name").and_then(Value::as_str).and_then(PluginKind::named);
        if let (Some(plugin), Some(Value::Object(config))) = (plugin, shown.get_mut("config")) {
            plugin.shorthands().iter().for_each(|shorthand| drop(config.remove(shorthand.name)));
            match given.remove("config") {
                Some(Value::Object(given)) => record::merge(plugin.fields(), config, given),
                Some(Value::Array(empty)) if empty.is_empty() => {}
                Some(Value::Null) => config.clear(),
                Some(other) => drop(given.insert("config".to_owned(), other)),
                None => {}
            }
        }
        record::merge(Self::fields(), shown, given);
    }

    fn prepare(fields: &mut Map<String, Value>, violations: &mut Violations) -> Result<(), Violations> {
        body::prepare(fields, violations)
    }

    fn unpack(members: &mut Map<String, Value>) {
        let plugin = members.get("name").and_then(Value::as_str).and_then(PluginKind::named);
        if let Some(config) = members.get_mut("config") {
            body::unpack(config);
            if let (Some(plugin), Value::Object(config)) = (plugin, config) {
                record::complete(plugin.fields(), config);
            }
        }
    }

    fn may_hold_secrets() -> bool {
        PLUGINS.iter().flat_map(PluginKind::fields).any(crate::Field::may_hold_secrets)
    }

    fn each_secret(members: &mut Map<String, Value>, visit: &mut dyn FnMut(&str, &mut Value)) {
        let name = members.get("name").and_then(Value::as_str);
        let Some(plugin) = name.and_then(PluginKind::named) else {
            // Which fields are secrets is not known.
            if let Some(config) = members.get_mut("config").filter(|config| !config.is_null()) {
                visit("config", config);
            }
            return;
        };
        let Some(config) = members.get_mut("config").and_then(body::content) else { return };
        secrets::each(plugin.fields(), config, "config.", visit);
        for shorthand in plugin.shorthands() {
            let is_secret = shorthand.field(plugin.fields()).is_some_and(crate::Field::is_secret);
            if let Some(value) = config.get_mut(shorthand.name).filter(|value| is_secret && !value.is_null()) {
                visit(&format!("config.{}", shorthand.path.join(".")), value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
