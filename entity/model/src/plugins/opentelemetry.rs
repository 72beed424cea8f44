//! opentelemetry: continues traces, and sends spans to a collector of OpenTelemetry.

use std::collections::BTreeMap;

use model_derive::Record;
use serde_json::{Value, json};

use super::edits::is_reserved;
use super::endpoint;
use super::queue::SpanQueue;
use crate::bounds;
use crate::check::text;
use crate::plugin::{PluginConfig, Protocols, Shorthand};
use crate::record::Check;
use crate::types::{Number, words};
use crate::violations::Violations;

words! {
    /// A form of the context of a trace that is read.
    TraceExtractor {
        /// `ot-tracer-…`, of OpenTracing.
        Ot = "ot",
        /// `traceparent`, of the W3C.
        W3c = "w3c",
        /// `x-datadog-…`.
        Datadog = "datadog",
        /// `b3`, or `x-b3-…`, of Zipkin.
        B3 = "b3",
        /// `x-cloud-trace-context`.
        Gcp = "gcp",
        /// `uber-trace-id`.
        Jaeger = "jaeger",
        /// `x-amzn-trace-id`.
        Aws = "aws",
        /// `x-instana-…`.
        Instana = "instana",
    }

    /// A form of the context of a trace that is written.
    TraceInjector {
        /// The form that was read.
        Preserve = "preserve",
        /// `ot-tracer-…`, of OpenTracing.
        Ot = "ot",
        /// `traceparent`, of the W3C.
        W3c = "w3c",
        /// `x-datadog-…`.
        Datadog = "datadog",
        /// `x-b3-…`, of Zipkin.
        B3 = "b3",
        /// `b3`, of Zipkin.
        B3Single = "b3-single",
        /// `x-cloud-trace-context`.
        Gcp = "gcp",
        /// `uber-trace-id`.
        Jaeger = "jaeger",
        /// `x-amzn-trace-id`.
        Aws = "aws",
        /// `x-instana-…`.
        Instana = "instana",
    }

    /// The form that is written when none was read.
    TraceFormat {
        /// `ot-tracer-…`, of OpenTracing.
        Ot = "ot",
        /// `traceparent`, of the W3C.
        W3c = "w3c",
        /// `x-datadog-…`.
        Datadog = "datadog",
        /// `x-b3-…`, of Zipkin.
        B3 = "b3",
        /// `b3`, of Zipkin.
        B3Single = "b3-single",
        /// `x-cloud-trace-context`.
        Gcp = "gcp",
        /// `uber-trace-id`.
        Jaeger = "jaeger",
        /// `x-amzn-trace-id`.
        Aws = "aws",
        /// `x-instana-…`.
        Instana = "instana",
    }

    /// Kong's earlier name of the forms.
    TraceHeaderType {
        /// The form that was read is written.
        Preserve = "preserve",
        /// Nothing is read.
        Ignore = "ignore",
        /// `x-b3-…`.
        B3 = "b3",
        /// `b3`.
        B3Single = "b3-single",
        /// `traceparent`.
        W3c = "w3c",
        /// `uber-trace-id`.
        Jaeger = "jaeger",
        /// `ot-tracer-…`.
        Ot = "ot",
        /// `x-amzn-trace-id`.
        Aws = "aws",
        /// `x-cloud-trace-context`.
        Gcp = "gcp",
        /// `x-datadog-…`.
        Datadog = "datadog",
        /// `x-instana-…`.
        Instana = "instana",
    }
}

/// The configuration of opentelemetry.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Opentelemetry {
    /// The URL of the collector of traces.
    #[field(longest = bounds::PLUGIN_TEXT, is = endpoint::http_url)]
    pub traces_endpoint: Option<String>,
    /// The URL of the collector of logs. An entry for each request is sent.
    #[field(longest = bounds::PLUGIN_TEXT, is = endpoint::http_url)]
    pub logs_endpoint: Option<String>,
    /// Further headers of the requests to both.
    #[field(
        secret,
        most = bounds::PROBE_HEADERS,
        longest = bounds::HEADER_VALUE,
        key = text::field_name,
        is = text::field_value
    )]
    pub headers: Option<BTreeMap<String, String>>,
    /// Attributes of the resource that the spans are of.
    #[field(most = bounds::PROBE_HEADERS, longest = bounds::HEADER_VALUE, is = text::not_empty)]
    pub resource_attributes: Option<BTreeMap<String, String>>,
    /// How spans are gathered, kept and sent again.
    #[field(default = SpanQueue::default())]
    pub queue: SpanQueue,
    /// Kong's earlier name of `queue.max_batch_size`; another value than 200 counts in its place.
    #[field(between(1, 1_000_000))]
    pub batch_span_count: Option<u32>,
    /// Kong's earlier name of `queue.max_coalescing_delay`; another value than 3 counts in its place.
    #[field(between(0, 3600))]
    pub batch_flush_delay: Option<u32>,
    /// The most milliseconds to connect to a collector.
    #[field(default = 1000, between(0, 2_147_483_646))]
    pub connect_timeout: u32,
    /// The most milliseconds without progress while a collector is to take spans.
    #[field(default = 5000, between(0, 2_147_483_646))]
    pub send_timeout: u32,
    /// The most milliseconds without progress while a collector is to answer.
    #[field(default = 5000, between(0, 2_147_483_646))]
    pub read_timeout: u32,
    /// The header of responses that holds the id of the trace; null: none.
    #[field(longest = bounds::HEADER_NAME, is = text::field_name)]
    pub http_response_header_for_traceid: Option<String>,
    /// Kong's earlier name of the forms of the context; a value other than preserve counts in place of
    /// `propagation`.
    #[field(default = TraceHeaderType::Preserve)]
    pub header_type: TraceHeaderType,
    /// The share of traces that are sampled, from 0 to 1; null: 0.01. A decision of the client counts first.
    #[field(number = share)]
    pub sampling_rate: Option<Number>,
    /// How the context of a trace is read and written.
    #[field(default = Propagation::default())]
    pub propagation: Propagation,
    /// Whether certificates of collectors are verified.
    #[field(default = true, quiet)]
    pub ssl_verify: bool,
}

/// How the context of a trace is read and written.
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Propagation {
    /// The forms that are read, in this order: the first one that a request has counts. Null: none.
    #[field(default = Some(TraceExtractor::USUAL.to_vec()), most = bounds::PLUGIN_LIST)]
    pub extract: Option<Vec<TraceExtractor>>,
    /// The headers that are removed from the request.
    #[field(most = bounds::PLUGIN_LIST, longest = bounds::HEADER_NAME, is = text::field_name)]
    pub clear: Option<Vec<String>>,
    /// The forms that are written.
    #[field(default = Some(vec![TraceInjector::Preserve]), most = bounds::PLUGIN_LIST)]
    pub inject: Option<Vec<TraceInjector>>,
    /// The form that is written in place of `preserve` when none was read.
    #[field(default = TraceFormat::W3c)]
    pub default_format: TraceFormat,
}

impl TraceExtractor {
    /// The forms that are read by default.
    const USUAL: [Self; 8] =
        [Self::W3c, Self::B3, Self::Jaeger, Self::Ot, Self::Datadog, Self::Aws, Self::Gcp, Self::Instana];
}

impl Opentelemetry {
    /// The most spans of a batch, and the seconds that it waits for more.
    pub fn batch(&self) -> (u32, Number) {
        let size = self.batch_span_count.filter(|size| *size != 200).unwrap_or(self.queue.max_batch_size);
        let delay = self.batch_flush_delay.filter(|delay| *delay != 3).map(Number::whole);
        (size, delay.unwrap_or(self.queue.max_coalescing_delay))
    }
}

impl Check for Opentelemetry {
    fn rules(&self, violations: &mut Violations) {
        if self.traces_endpoint.is_none() && self.logs_endpoint.is_none() {
            violations.entity(
                "at least one of these fields must be non-empty: 'config.traces_endpoint', 'config.logs_endpoint'",
            );
        }
    }

    /// Data planes write no such header, whatever is stored.
    fn written_rules(&self, violations: &mut Violations) {
        if let Some(name) = self.http_response_header_for_traceid.as_deref().filter(|name| is_reserved(name)) {
            violations.field("http_response_header_for_traceid", format!("invalid value: {name}"));
        }
    }

    fn entity_checks() -> Vec<Value> {
        vec![json!({ "at_least_one_of": ["config.traces_endpoint", "config.logs_endpoint"] })]
    }
}

impl Check for Propagation {}

impl PluginConfig for Opentelemetry {
    const NAME: &'static str = "opentelemetry";
    const PRIORITY: i32 = 14;
    const PROTOCOLS: Protocols = Protocols::HTTP;

    fn shorthands() -> Vec<Shorthand> {
        vec![Shorthand::moved("endpoint", &["traces_endpoint"])]
    }
}

fn share(rate: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&rate) { Ok(()) } else { Err("value should be between 0 and 1".into()) }
}
