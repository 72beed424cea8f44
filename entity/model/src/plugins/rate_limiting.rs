//! rate-limiting: how many requests may come in a period.

use model_derive::Record;
use serde_json::{Value, json};

use super::counting::{self, CounterPolicy, PERIODS, Redis};
use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Shorthand};
use crate::record::Check;
use crate::schema;
use crate::types::{Number, words};
use crate::violations::Violations;

/// Further limits of one plugin.
const FURTHER: usize = 7;
/// By how many things requests of one limit are counted apart.
const PARTS: usize = 4;

words! {
    /// By what requests are counted apart. Those that do not have it are counted by the client's address.
    LimitBy {
        /// The consumer; the credential without one.
        Consumer = "consumer",
        /// The credential.
        Credential = "credential",
        /// The client's address.
        Ip = "ip",
        /// The service.
        Service = "service",
        /// The value of a header.
        Header = "header",
        /// The path, if it is the given one.
        Path = "path",
    }

    /// When the count of a period begins again.
    WindowType {
        /// At the beginning of the next period, by the calendar.
        Fixed = "fixed",
        /// Never at once: what was counted in the period before counts less and less.
        Sliding = "sliding",
    }
}

/// The configuration of rate-limiting.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct RateLimiting {
    /// Requests in each second.
    #[field(gt(0))]
    pub second: Option<Number>,
    /// Requests in each minute.
    #[field(gt(0))]
    pub minute: Option<Number>,
    /// Requests in each hour.
    #[field(gt(0))]
    pub hour: Option<Number>,
    /// Requests in each day.
    #[field(gt(0))]
    pub day: Option<Number>,
    /// Requests from the first day of a month to its last.
    #[field(gt(0))]
    pub month: Option<Number>,
    /// Requests from 1 January to 31 December.
    #[field(gt(0))]
    pub year: Option<Number>,
    /// By what requests are counted apart.
    #[field(default = LimitBy::Consumer)]
    pub limit_by: LimitBy,
    /// The header by whose value they are.
    #[field(longest = bounds::HEADER_NAME, is = text::field_name)]
    pub header_name: Option<String>,
    /// The path that is counted.
    #[field(longest = bounds::PLUGIN_TEXT, starts_with("/"), is = counting::path)]
    pub path: Option<String>,
    /// Where counters are.
    #[field(default = CounterPolicy::Local)]
    pub policy: CounterPolicy,
    /// Whether requests pass while the server of counters is away.
    #[field(default = true)]
    pub fault_tolerant: bool,
    /// The server of counters.
    #[field(default = Redis::default())]
    pub redis: Redis,
    /// Whether answers say nothing of limits.
    #[field(default = false)]
    pub hide_client_headers: bool,
    /// The status of a refusal; 429 is sent for a number that is no status.
    #[field(default = Number::whole(429), gt(0))]
    pub error_code: Number,
    /// The message of a refusal.
    #[field(default = "API rate limit exceeded".to_owned(), longest = bounds::PLUGIN_TEXT)]
    pub error_message: String,
    /// Every so many seconds counts go to the server; -1: with each request.
    #[field(default = Number::new(-1.0))]
    pub sync_rate: Number,
    /// When the count of a period begins again.
    #[field(quiet, default = WindowType::Fixed)]
    pub window_type: WindowType,
    /// Limits that a request must keep as well. It counts on all of them, or on none.
    #[field(quiet, default = Vec::new(), most = FURTHER)]
    pub additional_limits: Vec<FurtherLimit>,
}

/// A limit that a request must keep as well.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct FurtherLimit {
    /// By what requests are counted apart. By several things: by all of them together.
    #[field(set, default = vec![LimitBy::Consumer], fewest = 1, most = PARTS)]
    pub limit_by: Vec<LimitBy>,
    /// The header by whose value they are.
    #[field(longest = bounds::HEADER_NAME, is = text::field_name)]
    pub header_name: Option<String>,
    /// The path that is counted.
    #[field(longest = bounds::PLUGIN_TEXT, starts_with("/"), is = counting::path)]
    pub path: Option<String>,
    /// Requests in each second.
    #[field(gt(0))]
    pub second: Option<Number>,
    /// Requests in each minute.
    #[field(gt(0))]
    pub minute: Option<Number>,
    /// Requests in each hour.
    #[field(gt(0))]
    pub hour: Option<Number>,
    /// Requests in each day.
    #[field(gt(0))]
    pub day: Option<Number>,
    /// Requests from the first day of a month to its last.
    #[field(gt(0))]
    pub month: Option<Number>,
    /// Requests from 1 January to 31 December.
    #[field(gt(0))]
    pub year: Option<Number>,
}

impl RateLimiting {
    /// The limits, by the places of [`PERIODS`].
    pub fn limits(&self) -> [Option<Number>; PERIODS.len()] {
        [self.second, self.minute, self.hour, self.day, self.month, self.year]
    }

    /// The status of a refusal.
    pub fn status(&self) -> u16 {
        let code = self.error_code.get();
        if counting::is_status(code) { code as u16 } else { 429 }
    }

    /// Every so many seconds counts go to the server; `None`: with each request.
    pub fn synced_every(&self) -> Option<Number> {
        (self.policy == CounterPolicy::Redis && self.sync_rate.get() > 0.0).then_some(self.sync_rate)
    }

    fn check_sync_rate(&self, violations: &mut Violations) {
        let rate = self.sync_rate.get();
        if self.sync_rate == Number::new(-1.0) {
            return;
        }
        if self.policy != CounterPolicy::Redis {
            violations.entity("sync_rate can only be used with the redis policy");
        } else if rate < 0.02 {
            violations.entity("sync_rate must be greater than 0.02, or -1 to disable");
        }
    }
}

impl FurtherLimit {
    /// The limits, by the places of [`PERIODS`].
    pub fn limits(&self) -> [Option<Number>; PERIODS.len()] {
        [self.second, self.minute, self.hour, self.day, self.month, self.year]
    }
}

impl Check for RateLimiting {
    fn rules(&self, violations: &mut Violations) {
        let limits = self.limits();
        if let Some(missing) = counting::no_limit(&limits, "config.") {
            violations.entity(missing);
        }
        if let Some(wrong) = counting::wrong_order(&limits) {
            violations.record(format!("The limit for {wrong}"));
        }
        if self.limit_by == LimitBy::Header && self.header_name.is_none() {
            counting::missing("limit_by", "header_name", violations);
        }
        if self.limit_by == LimitBy::Path && self.path.is_none() {
            counting::missing("limit_by", "path", violations);
        }
        self.redis.check(self.policy, violations);
        self.check_sync_rate(violations);
    }

    fn entity_checks() -> Vec<Value> {
        let required = json!({ "required": true });
        let conditional = |value: &str, field: &str| {
            schema::conditional("config.limit_by", &json!({ "eq": value }), field, &required)
        };
        let mut checks = vec![
            json!({ "at_least_one_of": PERIODS.map(|name| format!("config.{name}")) }),
            conditional("header", "config.header_name"),
            conditional("path", "config.path"),
        ];
        checks.extend(Redis::described_rules());
        checks.push(json!({ "custom_entity_check": { "field_sources": ["config"] } }));
        checks
    }
}

impl Check for FurtherLimit {
    fn rules(&self, violations: &mut Violations) {
        let limits = self.limits();
        if let Some(missing) = counting::no_limit(&limits, "") {
            violations.record(missing);
        }
        if let Some(wrong) = counting::wrong_order(&limits) {
            violations.record(format!("The limit for {wrong}"));
        }
        let needs = |by, name: &str, given: bool, violations: &mut Violations| {
            if self.limit_by.contains(&by) && !given {
                violations.field(name, "required field missing");
            }
        };
        needs(LimitBy::Header, "header_name", self.header_name.is_some(), violations);
        needs(LimitBy::Path, "path", self.path.is_some(), violations);
    }
}

impl PluginConfig for RateLimiting {
    const NAME: &'static str = "rate-limiting";
    const PRIORITY: i32 = 910;
    const PROTOCOLS: Protocols = Protocols::HTTP;

    fn shorthands() -> Vec<Shorthand> {
        Redis::shorthands()
    }
}
