//! statsd: counts and times requests at a server of StatsD.

use model_derive::Record;
use serde_json::{Value, json};

use super::queue::Queue;
use crate::bounds;
use crate::check::host;
use crate::plugin::PluginConfig;
use crate::record::Check;
use crate::types::{Number, words};
use crate::violations::Violations;

words! {
    /// What is measured.
    StatsdMetricName {
        /// The time of the gateway.
        KongLatency = "kong_latency",
        /// The time of a request.
        Latency = "latency",
        /// Requests.
        RequestCount = "request_count",
        /// Requests of each consumer.
        RequestPerUser = "request_per_user",
        /// Bytes of requests.
        RequestSize = "request_size",
        /// Bytes of responses.
        ResponseSize = "response_size",
        /// Requests by status.
        StatusCount = "status_count",
        /// Requests of each consumer by status.
        StatusCountPerUser = "status_count_per_user",
        /// Different consumers.
        UniqueUsers = "unique_users",
        /// The time of the upstream.
        UpstreamLatency = "upstream_latency",
        /// Requests of each workspace by status.
        StatusCountPerWorkspace = "status_count_per_workspace",
        /// Requests of each consumer to each route by status.
        StatusCountPerUserPerRoute = "status_count_per_user_per_route",
        /// Kept for Kong's clients: there is no such memory.
        ShdictUsage = "shdict_usage",
    }

    /// The type of a metric.
    StatType {
        /// A counter.
        Counter = "counter",
        /// A gauge.
        Gauge = "gauge",
        /// A histogram.
        Histogram = "histogram",
        /// A meter.
        Meter = "meter",
        /// A set.
        Set = "set",
        /// A timer.
        Timer = "timer",
    }

    /// What names a consumer.
    ConsumerIdentifier {
        /// Its id.
        Id = "consumer_id",
        /// Its custom id.
        CustomId = "custom_id",
        /// Its username.
        Username = "username",
    }

    /// What names a service.
    ServiceIdentifier {
        /// Its id.
        Id = "service_id",
        /// Its name.
        Name = "service_name",
        /// Its host.
        Host = "service_host",
        /// Its name, or else its host.
        NameOrHost = "service_name_or_host",
    }

    /// What names a workspace.
    WorkspaceIdentifier {
        /// Its id.
        Id = "workspace_id",
        /// Its name.
        Name = "workspace_name",
    }

    /// How labels are written; without one they are parts of the names.
    TagStyle {
        /// As DogStatsD has them.
        Dogstatsd = "dogstatsd",
        /// As InfluxDB has them.
        Influxdb = "influxdb",
        /// As Librato has them.
        Librato = "librato",
        /// As SignalFX has them.
        Signalfx = "signalfx",
    }
}

/// The configuration of statsd.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Statsd {
    /// The host of the server.
    #[field(default = "localhost".to_owned(), longest = bounds::HOST, is = host::host)]
    pub host: String,
    /// Its port.
    #[field(default = 8125, between(0, 65_535))]
    pub port: u16,
    /// What names begin with.
    #[field(default = "kong".to_owned(), longest = bounds::NAME, is = prefix)]
    pub prefix: String,
    /// What is measured.
    #[field(default = metrics(), most = bounds::PLUGIN_LIST)]
    pub metrics: Vec<StatsdMetric>,
    /// The ranges of statuses that are measured, as `200-299`; null: all.
    #[field(most = bounds::STATUSES, longest = bounds::NAME, is = status_range)]
    pub allow_status_codes: Option<Vec<String>>,
    /// The most bytes of a datagram with several metrics; 0: each metric is one.
    #[field(default = Number::whole(0), between(0, 65_507))]
    pub udp_packet_size: Number,
    /// Whether metrics are sent over TCP.
    #[field(default = false)]
    pub use_tcp: bool,
    /// Whether names have the name of the machine behind the prefix.
    #[field(default = false)]
    pub hostname_in_prefix: bool,
    /// What names a consumer.
    #[field(default = ConsumerIdentifier::CustomId)]
    pub consumer_identifier_default: ConsumerIdentifier,
    /// What names a service.
    #[field(default = ServiceIdentifier::NameOrHost)]
    pub service_identifier_default: ServiceIdentifier,
    /// What names a workspace.
    #[field(default = WorkspaceIdentifier::Id)]
    pub workspace_identifier_default: WorkspaceIdentifier,
    /// Kept for Kong's clients and without effect.
    pub retry_count: Option<i32>,
    /// Kong's earlier name of `queue.max_batch_size`; another value than 1 counts in its place.
    #[field(between(1, 1_000_000))]
    pub queue_size: Option<u32>,
    /// Kong's earlier name of `queue.max_coalescing_delay`; another value than 2 counts in its place.
    #[field(between(0, 3600))]
    pub flush_timeout: Option<Number>,
    /// How labels are written; null: they are parts of the names.
    pub tag_style: Option<TagStyle>,
    /// How metrics are gathered, kept and sent again.
    #[field(default = Queue::default())]
    pub queue: Queue,
}

/// One thing that is measured.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct StatsdMetric {
    /// What it is.
    #[field(required, default = StatsdMetricName::RequestCount)]
    pub name: StatsdMetricName,
    /// The type.
    #[field(required, default = StatType::Counter)]
    pub stat_type: StatType,
    /// The share of requests that are measured.
    #[field(gt(0))]
    pub sample_rate: Option<Number>,
    /// What names a consumer; null: the default.
    pub consumer_identifier: Option<ConsumerIdentifier>,
    /// What names a service; null: the default.
    pub service_identifier: Option<ServiceIdentifier>,
    /// What names a workspace; null: the default.
    pub workspace_identifier: Option<WorkspaceIdentifier>,
}

impl Statsd {
    /// The most entries of a batch, and the seconds that it waits for more.
    pub fn batch(&self) -> (u32, Number) {
        let size = self.queue_size.filter(|size| *size != 1).unwrap_or(self.queue.max_batch_size);
        let other = |delay: &Number| *delay != Number::whole(2);
        (size, self.flush_timeout.filter(other).unwrap_or(self.queue.max_coalescing_delay))
    }

    /// The first and the last status of each range.
    pub fn statuses(&self) -> Option<Vec<(u16, u16)>> {
        Some(self.allow_status_codes.as_ref()?.iter().filter_map(|text| range(text)).collect())
    }
}

impl Check for Statsd {}

impl Check for StatsdMetric {
    fn rules(&self, violations: &mut Violations) {
        if self.name == StatsdMetricName::UniqueUsers && self.stat_type != StatType::Set {
            violations.field("stat_type", "value must be set");
        }
        let needs_rate = matches!(self.stat_type, StatType::Counter | StatType::Gauge);
        if needs_rate && self.sample_rate.is_none() {
            violations.field("sample_rate", "required field missing");
        }
    }

    fn entity_checks() -> Vec<Value> {
        vec![
            json!({ "conditional": {
                "if_field": "name", "if_match": { "eq": "unique_users" },
                "then_field": "stat_type", "then_match": { "eq": "set" },
            } }),
            json!({ "conditional": {
                "if_field": "stat_type", "if_match": { "one_of": ["counter", "gauge"] },
                "then_field": "sample_rate", "then_match": { "required": true },
            } }),
        ]
    }
}

impl PluginConfig for Statsd {
    const NAME: &'static str = "statsd";
    const PRIORITY: i32 = 11;
}

/// Kong's default: everything.
fn metrics() -> Vec<StatsdMetric> {
    use StatType::{Counter, Gauge, Set, Timer};
    use StatsdMetricName as Name;
    let metric = |name, stat_type, sampled: bool| StatsdMetric {
        name,
        stat_type,
        sample_rate: sampled.then_some(Number::whole(1)),
        ..StatsdMetric::default()
    };
    vec![
        metric(Name::RequestCount, Counter, true),
        metric(Name::Latency, Timer, false),
        metric(Name::RequestSize, Counter, true),
        metric(Name::StatusCount, Counter, true),
        metric(Name::ResponseSize, Counter, true),
        metric(Name::UniqueUsers, Set, false),
        metric(Name::RequestPerUser, Counter, true),
        metric(Name::UpstreamLatency, Timer, false),
        metric(Name::KongLatency, Timer, false),
        metric(Name::StatusCountPerUser, Counter, true),
        metric(Name::StatusCountPerWorkspace, Counter, true),
        metric(Name::StatusCountPerUserPerRoute, Counter, true),
        metric(Name::ShdictUsage, Gauge, true),
    ]
}

/// A prefix has no character that ends a name.
fn prefix(text: &str) -> Result<(), String> {
    let wrong = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | '|' | '@' | '#');
    if text.chars().any(wrong) { Err(format!("invalid value: {text}")) } else { Ok(()) }
}

fn status_range(text: &str) -> Result<(), String> {
    range(text).map(drop).ok_or_else(|| format!("invalid value: {text}"))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let number = |text: &str| {
        let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_digits)
    };
    Some((number(first)?, number(last)?)).filter(|(first, last): &(u16, u16)| first <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_statuses() {
        assert_eq!(range("200-299"), Some((200, 299)));
        for wrong in ["", "200", "200-", "-", "a-b", "300-200", "+1-2", "1-2-3"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
