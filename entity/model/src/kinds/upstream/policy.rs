//! What an upstream may have beyond Kong's fields. Every default leaves the behaviour to Kong's fields.
//!
//! Times are in seconds.

mod words;

use std::time::Duration;

use model_derive::Record;

pub use self::words::{
    CookieSameSite, CookieSecure, HttpVersion, Initial, OtherStatuses, ProbeMethod, RetryMethods, RetryOn,
};
use crate::bounds;
use crate::check::{host, text};
use crate::record::Check;
use crate::types::Number;
use crate::violations::Violations;

/// The greatest time, in seconds: a day.
const DAY: i64 = 86_400;
const POSITIVE: &str = "value should be greater than 0";

/// What an upstream may have beyond Kong's fields.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Policy {
    /// The attributes of cookies that responses set.
    #[field(default = Cookie::default())]
    pub cookie: Cookie,
    /// After this time, a request tests a target that only passive checks watch and that is unhealthy; 0:
    /// never. The time doubles with every failed test, up to 16 times.
    #[field(default = Number::whole(0), between(0, DAY))]
    pub recover_after: Number,
    /// What a status means that is in no list of a health check.
    #[field(default = OtherStatuses::Ignore)]
    pub other_statuses: OtherStatuses,
    /// How a target is probed.
    #[field(default = Probe::default())]
    pub probe: Probe,
    /// The ejection of targets that fail more than others; null: off.
    pub outlier: Option<Outlier>,
    /// How the share of a target grows that has joined or recovered.
    #[field(default = SlowStart::default())]
    pub slow_start: SlowStart,
    /// With a lower percentage of available weight, health is ignored; 0: off.
    #[field(default = Number::whole(0), between(0, 100))]
    pub panic_threshold: Number,
    /// The most that one target gets at once.
    #[field(default = Limits::default())]
    pub limits: Limits,
    /// When a request is sent again.
    #[field(default = Retry::default())]
    pub retry: Retry,
    /// The most requests in progress of a target that the hash chooses, in percent of the mean of all; 0: off.
    #[field(default = 0, between(0, 1000))]
    pub hash_balance_factor: u16,
    /// Whether targets of the data plane's own zone are preferred.
    #[field(default = Zone::default())]
    pub zone: Zone,
    /// How names of targets are resolved.
    #[field(default = Dns::default())]
    pub dns: Dns,
}

/// The attributes of cookies that responses set.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Cookie {
    /// Whether it has the attribute `Secure`.
    #[field(default = CookieSecure::Auto)]
    pub secure: CookieSecure,
    /// The attribute `SameSite`.
    #[field(default = CookieSameSite::Lax)]
    pub same_site: CookieSameSite,
    /// The attribute `Max-Age`; null: until the browser ends.
    #[field(between(1, 34_560_000))]
    pub max_age: Option<u32>,
    /// The attribute `Domain`; null: the host of the request alone.
    #[field(longest = bounds::HOST, is = host::upstream_name)]
    pub domain: Option<String>,
}

/// How a target is probed.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Probe {
    /// The port that is probed; null: the port of the target.
    #[field(between(1, 65_535))]
    pub port: Option<u16>,
    /// The Host header of a probe; null: that of requests.
    #[field(longest = bounds::HOST, is = host::host_and_port)]
    pub host: Option<String>,
    /// The method of a probe.
    #[field(default = ProbeMethod::Get)]
    pub method: ProbeMethod,
    /// The version of HTTP that a probe speaks.
    #[field(default = HttpVersion::Http11)]
    pub http_version: HttpVersion,
    /// The service that the health protocol of gRPC is asked about; null: the whole server.
    #[field(longest = bounds::NAME, is = text::field_value)]
    pub grpc_service: Option<String>,
    /// The random part of an interval, in percent of it.
    #[field(default = 10, between(0, 50))]
    pub jitter: u8,
    /// The health of a target that was never probed.
    #[field(default = Initial::Healthy)]
    pub initial: Initial,
}

/// The ejection of targets that fail more than others.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Outlier {
    /// Failures in a row after which a target is ejected; 0: off.
    #[field(default = 5, between(0, 10_000))]
    pub consecutive: u16,
    /// The statuses that count as failures.
    #[field(default = vec![502, 503, 504], most = bounds::STATUSES, between(100, 999))]
    pub statuses: Vec<u16>,
    /// The percentage of successes in a window below which a target is ejected; 0: off.
    #[field(default = Number::whole(0), between(0, 100))]
    pub success_rate: Number,
    /// The window of the success rate.
    #[field(default = Number::whole(10), between(1, 3600))]
    pub window: Number,
    /// The fewest requests in a window by which a target is judged.
    #[field(default = 100, between(1, 1_000_000))]
    pub min_requests: u32,
    /// The time of the first ejection; each further one in a row is longer by it.
    #[field(default = Number::whole(30), between(1, DAY))]
    pub base: Number,
    /// The longest ejection.
    #[field(default = Number::whole(300), between(1, DAY))]
    pub max: Number,
    /// The random part of an ejection, in percent of it.
    #[field(default = 10, between(0, 100))]
    pub jitter: u8,
    /// The most targets that may be ejected at once, in percent of all. The last one never is.
    #[field(default = 50, between(0, 100))]
    pub max_percent: u8,
}

/// How the share of a target grows that has joined or recovered.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct SlowStart {
    /// The time until it has its whole share; 0: off.
    #[field(default = Number::whole(0), between(0, DAY))]
    pub duration: Number,
    /// The least share, in percent.
    #[field(default = 10, between(1, 100))]
    pub min_percent: u8,
    /// The form of the growth: linear at 1, faster at first when greater.
    #[field(default = Number::whole(1), between(0, 10))]
    pub aggression: Number,
}

/// The most that one target gets at once.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Limits {
    /// Requests in progress of one target; 0: any number.
    #[field(default = 0, between(0, 1_000_000))]
    pub max_requests: u32,
    /// Requests of the upstream that wait when all targets are full; 0: none.
    #[field(default = 0, between(0, 1_000_000))]
    pub max_queue: u32,
    /// The longest wait.
    #[field(default = Number::whole(1), between(0, 3600))]
    pub queue_timeout: Number,
}

/// When a request is sent again. The `retries` of the service stay the most.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Retry {
    /// The failures after which it is.
    #[field(set, default = vec![RetryOn::Connect, RetryOn::ResetBeforeSent, RetryOn::Timeout])]
    pub on: Vec<RetryOn>,
    /// The statuses of the target after which it is.
    #[field(set, default = Vec::new(), most = bounds::STATUSES, between(400, 599))]
    pub statuses: Vec<u16>,
    /// The methods of the requests that may be sent again once a target may have seen them.
    #[field(default = RetryMethods::Idempotent)]
    pub methods: RetryMethods,
    /// The longest time until the header of a response, for each attempt; 0: the timeouts of the service alone.
    #[field(default = Number::whole(0), between(0, DAY))]
    pub per_try_timeout: Number,
    /// The longest time of all attempts until the header of a response; 0: any.
    #[field(default = Number::whole(0), between(0, DAY))]
    pub total_timeout: Number,
    /// The most attempts beside the first ones, in percent of the requests in progress; 0: any number.
    #[field(default = 0, between(0, 100))]
    pub budget_percent: u8,
    /// Attempts beside the first ones that the budget always allows.
    #[field(default = 3, between(0, 10_000))]
    pub budget_min: u32,
    /// Whether an attempt goes to another target while one is left.
    #[field(default = true)]
    pub other_target: bool,
}

/// Whether targets of the data plane's own zone are preferred.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Zone {
    /// Whether they are.
    #[field(default = false)]
    pub prefer: bool,
    /// With a lower percentage of available weight in the zone, others get requests, too.
    #[field(default = 70, between(0, 100))]
    pub min_healthy_percent: u8,
}

/// How names of targets are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Dns {
    /// The least time that an answer is valid.
    #[field(default = Number::whole(1), between(0, DAY))]
    pub min_ttl: Number,
    /// The longest time that an answer is valid.
    #[field(default = Number::whole(3600), between(1, DAY))]
    pub max_ttl: Number,
    /// How long the last answer is used while the resolver fails.
    #[field(default = Number::whole(3600), between(0, 31_536_000))]
    pub stale: Number,
    /// How long the last answer is used after the answer that the name does not exist.
    #[field(default = Number::whole(30), between(0, 31_536_000))]
    pub nx_grace: Number,
    /// The families of addresses, the preferred one first.
    #[field(set, default = vec![4, 6], one_of(&[4, 6]))]
    pub families: Vec<u8>,
}

impl Policy {
    /// The time after which a request tests an unhealthy target; `None` when none does.
    pub fn recover_after(&self) -> Option<Duration> {
        some(self.recover_after)
    }
}

impl Retry {
    /// The longest time of one attempt; `None` when the service's timeouts alone bound it.
    pub fn per_try_timeout(&self) -> Option<Duration> {
        some(self.per_try_timeout)
    }

    /// The longest time of all attempts, if there is one.
    pub fn total_timeout(&self) -> Option<Duration> {
        some(self.total_timeout)
    }
}

impl SlowStart {
    /// The time until a target has its whole share; `None` when it has it at once.
    pub fn duration(&self) -> Option<Duration> {
        some(self.duration)
    }
}

fn some(time: Number) -> Option<Duration> {
    Some(time.seconds()).filter(|time| !time.is_zero())
}

impl Check for Policy {
    fn rules(&self, violations: &mut Violations) {
        if (1..=100).contains(&self.hash_balance_factor) {
            violations.field("hash_balance_factor", "value should be 0 or greater than 100");
        }
    }
}

impl Check for Cookie {
    /// Browsers drop such a cookie.
    fn rules(&self, violations: &mut Violations) {
        if self.same_site == CookieSameSite::None && self.secure == CookieSecure::Never {
            violations.field("same_site", "expected one of: Lax, Strict (a cookie that is never secure)");
        }
    }
}

impl Check for Outlier {
    fn rules(&self, violations: &mut Violations) {
        if self.max < self.base {
            violations.field("max", "value should be at least that of base");
        }
    }
}

impl Check for SlowStart {
    fn rules(&self, violations: &mut Violations) {
        if self.aggression.is_zero() {
            violations.field("aggression", POSITIVE);
        }
    }
}

impl Check for Dns {
    fn rules(&self, violations: &mut Violations) {
        if self.min_ttl.is_zero() {
            violations.field("min_ttl", POSITIVE);
        }
        if self.max_ttl < self.min_ttl {
            violations.field("max_ttl", "value should be at least that of min_ttl");
        }
        if self.families.is_empty() {
            violations.field("families", "length must be at least 1");
        }
    }
}

impl Check for Probe {}
impl Check for Limits {}
impl Check for Retry {}
impl Check for Zone {}
