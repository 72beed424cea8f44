//! What the plugins that count have in common: periods, and the server of shared counters.

#[cfg(test)]
mod tests;

use model_derive::Record;
use serde_json::{Value, json};

use crate::bounds;
use crate::check::{host, text};
use crate::plugin::Shorthand;
use crate::private_key::PrivateKey;
use crate::record::Check;
use crate::schema;
use crate::types::{Number, words};
use crate::violations::Violations;

/// The greatest timeout, in milliseconds.
const TIMEOUT: i64 = 2_147_483_646;
/// The names of the periods, the shortest first.
pub const PERIODS: [&str; 6] = ["second", "minute", "hour", "day", "month", "year"];
const MISSING: &str = "required field missing";

words! {
    /// Where counters are.
    CounterPolicy {
        /// On each data plane.
        Local = "local",
        /// On a server of redis, which data planes share.
        Redis = "redis",
    }
}

/// How a server of redis is reached.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Redis {
    /// Its name or address.
    #[field(longest = bounds::HOST, is = host::host)]
    pub host: Option<String>,
    /// Its port.
    #[field(default = 6379, between(0, 65_535))]
    pub port: u16,
    /// Time for a command, and to establish a connection, in milliseconds.
    #[field(default = 2000, between(0, TIMEOUT))]
    pub timeout: u32,
    /// The user; null: the default one.
    #[field(longest = bounds::NAME)]
    pub username: Option<String>,
    /// The password; null: none is sent.
    #[field(secret, longest = bounds::NAME)]
    pub password: Option<PrivateKey>,
    /// The number of the database.
    #[field(default = 0)]
    pub database: u32,
    /// Whether TLS is used.
    #[field(default = false)]
    pub ssl: bool,
    /// Whether the certificate of the server is verified.
    #[field(default = false)]
    pub ssl_verify: bool,
    /// The name that the certificate must have; null: that of the server.
    #[field(longest = bounds::HOST, is = host::sni)]
    pub server_name: Option<String>,
}

impl Check for Redis {}

impl Redis {
    /// The names that its fields had before they were those of a record.
    pub(super) fn shorthands() -> Vec<Shorthand> {
        vec![
            Shorthand::moved("redis_host", &["redis", "host"]),
            Shorthand::moved("redis_port", &["redis", "port"]),
            Shorthand::moved("redis_password", &["redis", "password"]),
            Shorthand::moved("redis_username", &["redis", "username"]),
            Shorthand::moved("redis_ssl", &["redis", "ssl"]),
            Shorthand::moved("redis_ssl_verify", &["redis", "ssl_verify"]),
            Shorthand::moved("redis_server_name", &["redis", "server_name"]),
            Shorthand::moved("redis_timeout", &["redis", "timeout"]),
            Shorthand::moved("redis_database", &["redis", "database"]),
        ]
    }

    /// Checks that it names a server, if counters are on one.
    pub(super) fn check(&self, policy: CounterPolicy, violations: &mut Violations) {
        if policy == CounterPolicy::Redis && self.host.is_none() {
            missing("policy", "redis.host", violations);
        }
    }

    /// That rule in the words of a schema.
    pub(super) fn described_rules() -> Vec<Value> {
        let (redis, required) = (json!({ "eq": "redis" }), json!({ "required": true }));
        let needed = ["config.redis.host", "config.redis.port", "config.redis.timeout"];
        needed.map(|field| schema::conditional("config.policy", &redis, field, &required)).into()
    }
}

/// What may be counted in each period; null: any number.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Periods {
    /// In each second.
    #[field(gt(0))]
    pub second: Option<Number>,
    /// In each minute.
    #[field(gt(0))]
    pub minute: Option<Number>,
    /// In each hour.
    #[field(gt(0))]
    pub hour: Option<Number>,
    /// In each day.
    #[field(gt(0))]
    pub day: Option<Number>,
    /// From the first day of a month to its last.
    #[field(gt(0))]
    pub month: Option<Number>,
    /// From 1 January to 31 December.
    #[field(gt(0))]
    pub year: Option<Number>,
}

impl Periods {
    /// The limits, by the places of [`PERIODS`].
    pub fn limits(&self) -> [Option<Number>; PERIODS.len()] {
        [self.second, self.minute, self.hour, self.day, self.month, self.year]
    }
}

/// The message for limits of which none is given; `within` leads to their names, as `config.`.
pub(super) fn no_limit(limits: &[Option<Number>; PERIODS.len()], within: &str) -> Option<String> {
    let names = || PERIODS.map(|name| format!("'{within}{name}'")).join(", ");
    let is_none = limits.iter().all(Option::is_none);
    is_none.then(|| format!("at least one of these fields must be non-empty: {}", names()))
}

impl Check for Periods {
    fn rules(&self, violations: &mut Violations) {
        if let Some(wrong) = wrong_order(&self.limits()) {
            violations.record(format!("the limit for {wrong}"));
        }
    }
}

/// The first period whose limit is lower than that of a shorter one, in the words of messages.
pub(super) fn wrong_order(limits: &[Option<Number>; PERIODS.len()]) -> Option<String> {
    let given = || PERIODS.iter().zip(limits).filter_map(|(name, limit)| Some((*name, (*limit)?.get())));
    given().enumerate().find_map(|(index, (shorter, least))| {
        let mut longer = given().skip(index + 1);
        let (longer, lower) = longer.find(|(_, limit)| *limit < least)?;
        Some(format!("{longer}({lower:.1}) cannot be lower than the limit for {shorter}({least:.1})"))
    })
}

/// Adds that the value of a field needs another one.
pub(super) fn missing(given: &str, needed: &str, violations: &mut Violations) {
    violations.entity(format!("failed conditional validation given value of field 'config.{given}'"));
    violations.at_path(needed, MISSING);
}

/// Checks the path of a request.
pub(super) fn path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("should start with: /".to_owned());
    }
    text::field_value(path)
}

/// Checks the number of a status. Kong takes any number.
pub(super) fn is_status(number: f64) -> bool {
    (200.0..600.0).contains(&number) && number.fract() == 0.0
}
