//! How the health of targets is found: by probes (active), and by the requests that are proxied (passive).
//!
//! A limit counts events in a row; 0 turns it off. Times are in seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use model_derive::Record;
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::check::{host, path, text};
use crate::record::Check;
use crate::types::{Number, Word};
use crate::violations::{FieldErrors, Violations};

/// The greatest time of a check, in seconds.
const TIME: i64 = 65_535;

/// The health checks of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Healthchecks {
    /// The checks by probes.
    #[field(default = ActiveChecks::default())]
    pub active: ActiveChecks,
    /// The checks by the requests that are proxied.
    #[field(default = PassiveChecks::default())]
    pub passive: PassiveChecks,
    /// The percentage of the weight that must be available, or else the whole upstream is not.
    #[field(default = Number::whole(0), between(0, 100))]
    pub threshold: Number,
}

/// What a check speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckType {
    /// A TCP connection alone.
    Tcp,
    /// HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
    /// The health protocol of gRPC.
    Grpc,
    /// The same over TLS.
    Grpcs,
}

impl CheckType {
    /// Whether it speaks TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs)
    }
}

impl Word for CheckType {
    const ALL: &'static [Self] = &[Self::Tcp, Self::Http, Self::Https, Self::Grpc, Self::Grpcs];

    fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }
}

/// The checks by probes.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ActiveChecks {
    /// What a probe speaks.
    #[field(default = CheckType::Http)]
    pub r#type: CheckType,
    /// The timeout of a probe.
    #[field(default = Number::whole(1), between(0, TIME))]
    pub timeout: Number,
    /// The most targets that are probed at once.
    #[field(default = 10, between(1, 2_147_483_648))]
    pub concurrency: u32,
    /// The path of a probe.
    #[field(default = "/".to_owned(), starts_with("/"), is = path::probe_path)]
    pub http_path: String,
    /// The server name of the handshake; null: the Host header's name.
    #[field(longest = bounds::HOST, is = host::exact_sni)]
    pub https_sni: Option<String>,
    /// Whether the target's certificate is verified.
    #[field(default = true)]
    pub https_verify_certificate: bool,
    /// Further headers of a probe.
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// What makes an unhealthy target healthy.
    #[field(default = ActiveHealthy::default())]
    pub healthy: ActiveHealthy,
    /// What makes a healthy target unhealthy.
    #[field(default = ActiveUnhealthy::default())]
    pub unhealthy: ActiveUnhealthy,
}

/// What makes an unhealthy target healthy.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ActiveHealthy {
    /// The time between two probes of a healthy target; 0: none.
    #[field(default = Number::whole(0), between(0, TIME))]
    pub interval: Number,
    /// The statuses that are a success.
    #[field(default = vec![200, 302], most = bounds::STATUSES, between(100, 999))]
    pub http_statuses: Vec<u16>,
    /// The successes in a row after which a target is healthy.
    #[field(default = 0, between(0, 255))]
    pub successes: u8,
}

/// What makes a healthy target unhealthy.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct ActiveUnhealthy {
    /// The time between two probes of an unhealthy target; 0: none.
    #[field(default = Number::whole(0), between(0, TIME))]
    pub interval: Number,
    /// The statuses that are a failure.
    #[field(
        default = vec![429, 404, 500, 501, 502, 503, 504, 505],
        most = bounds::STATUSES,
        between(100, 999)
    )]
    pub http_statuses: Vec<u16>,
    /// The failed connections in a row after which a target is unhealthy.
    #[field(default = 0, between(0, 255))]
    pub tcp_failures: u8,
    /// The timeouts in a row after which a target is unhealthy.
    #[field(default = 0, between(0, 255))]
    pub timeouts: u8,
    /// The failing statuses in a row after which a target is unhealthy.
    #[field(default = 0, between(0, 255))]
    pub http_failures: u8,
}

/// The checks by the requests that are proxied.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct PassiveChecks {
    /// Kept for Kong's clients and without effect.
    #[field(default = CheckType::Http)]
    pub r#type: CheckType,
    /// What makes an unhealthy target healthy.
    #[field(default = PassiveHealthy::default())]
    pub healthy: PassiveHealthy,
    /// What makes a healthy target unhealthy.
    #[field(default = PassiveUnhealthy::default())]
    pub unhealthy: PassiveUnhealthy,
}

/// How proxied requests make an unhealthy target healthy.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct PassiveHealthy {
    /// The statuses that are a success.
    #[field(default = passive_successes(), most = bounds::STATUSES, between(100, 999))]
    pub http_statuses: Vec<u16>,
    /// The successes in a row after which a target is healthy.
    #[field(default = 0, between(0, 255))]
    pub successes: u8,
}

/// How proxied requests make a healthy target unhealthy.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct PassiveUnhealthy {
    /// The statuses that are a failure.
    #[field(default = vec![429, 500, 503], most = bounds::STATUSES, between(100, 999))]
    pub http_statuses: Vec<u16>,
    /// The failed connections in a row after which a target is unhealthy.
    #[field(default = 0, between(0, 255))]
    pub tcp_failures: u8,
    /// The timeouts in a row after which a target is unhealthy.
    #[field(default = 0, between(0, 255))]
    pub timeouts: u8,
    /// The failing statuses in a row after which a target is unhealthy.
    #[field(default = 0, between(0, 255))]
    pub http_failures: u8,
}

fn passive_successes() -> Vec<u16> {
    (200..=208).chain([226]).chain(300..=308).collect()
}

impl ActiveChecks {
    /// Whether targets are probed.
    pub fn is_on(&self) -> bool {
        !(self.healthy.interval.is_zero() && self.unhealthy.interval.is_zero())
    }

    /// The timeout of a probe; `None` when it has none.
    pub fn timeout(&self) -> Option<Duration> {
        some_time(self.timeout)
    }

    /// The time between two probes of a healthy target; `None` when it is not probed.
    pub fn interval_when_healthy(&self) -> Option<Duration> {
        some_time(self.healthy.interval)
    }

    /// The time between two probes of an unhealthy target; `None` when it is not probed.
    pub fn interval_when_unhealthy(&self) -> Option<Duration> {
        some_time(self.unhealthy.interval)
    }
}

impl PassiveChecks {
    /// Whether proxied requests may make a target unhealthy.
    pub const fn is_on(&self) -> bool {
        let limits = &self.unhealthy;
        limits.tcp_failures != 0 || limits.timeouts != 0 || limits.http_failures != 0
    }
}

fn some_time(time: Number) -> Option<Duration> {
    Some(time.seconds()).filter(|time| !time.is_zero())
}

impl Check for ActiveChecks {
    /// A value with a line break would begin another field of the probe.
    fn rules(&self, violations: &mut Violations) {
        let Some(headers) = &self.headers else { return };
        if let Some(message) = headers.keys().find_map(|name| text::probe_header_name(name).err()) {
            return violations.field("headers", message);
        }
        let broken = headers.iter().filter_map(|(name, values)| {
            let wrong = values.iter().enumerate();
            let wrong = wrong.filter_map(|(index, value)| Some((index, text::field_value(value).err()?.into())));
            Some((name.clone(), FieldErrors::of_elements(wrong)?))
        });
        let broken: BTreeMap<_, _> = broken.collect();
        if !broken.is_empty() {
            violations.at("headers", FieldErrors::Nested(broken));
        }
    }

    fn bounds(&self, violations: &mut Violations) {
        let Some(headers) = &self.headers else { return };
        let checked = bounds::at_most(headers.len(), bounds::PROBE_HEADERS, "headers")
            .and_then(|()| headers.keys().try_for_each(|name| bounds::length(name, bounds::HEADER_NAME)))
            .and_then(|()| {
                let values = headers.values();
                let count = values.clone().map(Vec::len).sum();
                bounds::at_most(count, bounds::HEADER_VALUES, "values")?;
                values.flatten().try_for_each(|value| bounds::length(value, bounds::HEADER_VALUE))
            });
        if let Err(message) = checked {
            violations.field("headers", message);
        }
    }
}

impl Check for Healthchecks {}
impl Check for ActiveHealthy {}
impl Check for ActiveUnhealthy {}
impl Check for PassiveChecks {}
impl Check for PassiveHealthy {}
impl Check for PassiveUnhealthy {}
