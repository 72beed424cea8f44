//! response-ratelimiting: how much of something may be used in a period, as upstreams say.

use std::collections::BTreeMap;

use model_derive::Record;
use serde_json::Value;

use super::counting::{self, CounterPolicy, Periods, Redis};
use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Shorthand};
use crate::record::Check;
use crate::types::words;
use crate::violations::Violations;

/// Things that one plugin counts.
const NAMES: usize = 50;

words! {
    /// By what uses are counted apart. Those of requests that do not have it are counted by the client's address.
    UsedBy {
        /// The consumer; the credential without one.
        Consumer = "consumer",
        /// The credential.
        Credential = "credential",
        /// The client's address.
        Ip = "ip",
    }
}

/// The configuration of response-ratelimiting.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ResponseRatelimiting {
    /// The header in which upstreams say what was used.
    #[field(default = "x-kong-limit".to_owned(), longest = bounds::HEADER_NAME, is = text::field_name)]
    pub header_name: String,
    /// By what uses are counted apart.
    #[field(default = UsedBy::Consumer)]
    pub limit_by: UsedBy,
    /// Where counters are.
    #[field(default = CounterPolicy::Local)]
    pub policy: CounterPolicy,
    /// Whether requests pass while the server of counters is away.
    #[field(default = true)]
    pub fault_tolerant: bool,
    /// The server of counters.
    #[field(default = Redis::default())]
    pub redis: Redis,
    /// Whether a request is refused once any limit has nothing left.
    #[field(default = false)]
    pub block_on_first_violation: bool,
    /// Whether answers say nothing of limits.
    #[field(default = false)]
    pub hide_client_headers: bool,
    /// What may be used, by the name of what is.
    #[field(required, fewest = 1, most = NAMES, longest = bounds::HEADER_NAME, key = limit_name)]
    pub limits: BTreeMap<String, Periods>,
}

/// Checks a name: it becomes a part of the names of headers.
fn limit_name(name: &str) -> Result<(), String> {
    text::field_name(name)
}

impl Check for ResponseRatelimiting {
    fn rules(&self, violations: &mut Violations) {
        self.redis.check(self.policy, violations);
    }

    /// Older versions took limits without a period.
    fn written_rules(&self, violations: &mut Violations) {
        if let Some(missing) = self.limits.values().find_map(|limits| counting::no_limit(&limits.limits(), "")) {
            violations.field("limits", missing);
        }
    }

    fn entity_checks() -> Vec<Value> {
        Redis::described_rules()
    }
}

impl PluginConfig for ResponseRatelimiting {
    const NAME: &'static str = "response-ratelimiting";
    const PRIORITY: i32 = 900;
    const PROTOCOLS: Protocols = Protocols::HTTP;

    fn shorthands() -> Vec<Shorthand> {
        Redis::shorthands()
    }
}
