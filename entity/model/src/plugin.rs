//! What a plugin declares of itself, and the list of plugins.
//!
//! A plugin is three files: its configuration in [`crate::plugins`], its behaviour in the gateway, and one line
//! in [`with_every_plugin`](crate::with_every_plugin).

mod schema;
mod scopes;
mod shorthand;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::scopes::{Protocols, Scopes};
pub use self::shorthand::Shorthand;
use crate::field::Field;
use crate::record::Record;
use crate::violations::Violations;

/// Calls a macro with every plugin: the type of its configuration, and the module that has it. The order has no
/// meaning.
#[macro_export]
macro_rules! with_every_plugin {
    ($then:ident) => {
        $then! {
            Acl = acl;
            BasicAuth = basic_auth;
            BotDetection = bot_detection;
            CorrelationId = correlation_id;
            Cors = cors;
            FileLog = file_log;
            ForwardAuth = forward_auth;
            HmacAuth = hmac_auth;
            HttpLog = http_log;
            IpRestriction = ip_restriction;
            Jwt = jwt;
            KeyAuth = key_auth;
            Opentelemetry = opentelemetry;
            Prometheus = prometheus;
            ProxyCache = proxy_cache;
            RateLimiting = rate_limiting;
            Redirect = redirect;
            RequestSizeLimiting = request_size_limiting;
            RequestTermination = request_termination;
            RequestTransformer = request_transformer;
            ResponseRatelimiting = response_ratelimiting;
            ResponseTransformer = response_transformer;
            Statsd = statsd;
            Syslog = syslog;
            TcpLog = tcp_log;
            UdpLog = udp_log;
        }
    };
}

/// The configuration of a plugin.
///
/// Its rules between fields are those of [`crate::Check`]. [`Violations::entity`] reports of the plugin as a
/// whole, under `@entity`: there, messages call a field `config.field`. [`Violations::record`] reports of
/// `config` as a whole, and [`Violations::field`] and [`Violations::at_path`] of a field, without `config.`.
/// The entity checks are those that the schema of the plugin shows.
pub trait PluginConfig: Record + Clone + Debug + Eq + Serialize + DeserializeOwned + Send + Sync {
    /// The name of the plugin.
    const NAME: &'static str;

    /// The place of the plugin in the order in which plugins run, the highest first.
    const PRIORITY: i32;

    /// What the plugin can be limited to.
    const SCOPES: Scopes = Scopes::ALL;

    /// The protocols that the plugin may have.
    const PROTOCOLS: Protocols = Protocols::ANY;

    /// Adds the values that fields of a body imply for others, before the rest is completed.
    fn imply(_fields: &mut Map<String, Value>) {}

    /// Earlier names of fields.
    fn shorthands() -> Vec<Shorthand> {
        Vec::new()
    }
}

/// A plugin, whatever the type of its configuration.
#[derive(Debug)]
pub struct PluginKind {
    /// Its name.
    pub name: &'static str,
    /// Its place in the order in which plugins run, the highest first.
    pub priority: i32,
    /// What it can be limited to.
    pub scopes: Scopes,
    /// The protocols that it may have.
    pub protocols: Protocols,
    fields: fn() -> &'static [Field],
    checks: fn() -> Vec<Value>,
    shorthands: fn() -> Vec<Shorthand>,
    imply: fn(&mut Map<String, Value>),
}

impl PluginKind {
    pub(crate) const fn of<C: PluginConfig>() -> Self {
        Self {
            name: C::NAME,
            priority: C::PRIORITY,
            scopes: C::SCOPES,
            protocols: C::PROTOCOLS,
            fields: C::fields,
            checks: C::entity_checks,
            shorthands: C::shorthands,
            imply: C::imply,
        }
    }

    /// The fields of its configuration.
    pub fn fields(&self) -> &'static [Field] {
        (self.fields)()
    }

    /// Earlier names of fields.
    pub(crate) fn shorthands(&self) -> Vec<Shorthand> {
        (self.shorthands)()
    }

    /// Brings the configuration of a body to the names of this version, and adds what its fields imply.
    pub(crate) fn imply(&self, config: &mut Map<String, Value>, form: bool, violations: &mut Violations) {
        for shorthand in self.shorthands() {
            shorthand.expand(self.fields(), config, form, violations);
        }
        (self.imply)(config);
    }
}

#[cfg(test)]
mod tests;
