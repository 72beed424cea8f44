//! Every metric of the data plane. No label holds client input, so that clients cannot create series.

mod cache;
mod delivery;
mod dns;
mod probes;

use std::sync::OnceLock;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
};

use node::http::Bound;
use wire::{Mode, NackReason};

pub use self::delivery::{DeliveryMetrics, DropReason};
pub use self::probes::{ProbeMetrics, ProbeResult};
use crate::error::RequestFailure;

pub use cache::CacheMetrics;
pub use dns::DnsMetrics;

/// Upper bounds of durations in seconds. A proxy on one machine answers in tens of microseconds; Kong's
/// default timeout is 60 s.
const DURATIONS: [f64; 20] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Statuses with a counter of their own, created at the first response with that status.
const STATUSES: std::ops::Range<u16> = 100..600;

/// The metrics of the program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Metrics of requests.
    pub http: HttpMetrics,
    /// Metrics of client connections.
    pub connections: ConnectionMetrics,
    /// Metrics of the sync.
    pub sync: SyncMetrics,
    /// Metrics of name look-ups.
    pub dns: DnsMetrics,
    /// Metrics of active health checks.
    pub probes: ProbeMetrics,
    /// Metrics of what plugins and the access log report.
    pub delivery: DeliveryMetrics,
    /// Metrics of the answers that are kept.
    pub cache: CacheMetrics,
    /// Requests and connections that the status listener has refused or cut off.
    pub status_refused: IntCounterVec,
    /// Reloads of a changed token file, by result.
    pub token_reloads: IntCounterVec,
}

/// Metrics of requests.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    /// Requests answered, by status and by source of the response.
    pub requests: Requests,
    /// Requests that the gateway failed, by reason.
    pub errors: IntCounterVec,
    /// From the end of a request's header to the end of its answer.
    pub request_duration: Histogram,
    /// From sending a request to the upstream to the header of its response or to its failure, earlier attempts
    /// included.
    pub upstream_duration: Histogram,
    /// Time that the gateway adds: the request duration less the time until the upstream's response was
    /// complete.
    pub gateway_duration: Histogram,
    /// Requests between their header and the end of their answer.
    pub in_flight: IntGauge,
    /// Requests sent over a connection that had been used before.
    pub upstream_reused: IntCounter,
    /// Requests sent over a new connection.
    pub upstream_fresh: IntCounter,
}

/// Counters of requests answered. They are bound once: a lookup by label values costs more than a lookup of
/// the route.
#[derive(Clone, Debug)]
pub struct Requests {
    family: IntCounterVec,
    bound: std::sync::Arc<[[OnceLock<IntCounter>; 2]]>,
}

/// Source of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The upstream.
    Upstream,
    /// The gateway itself.
    Gateway,
}

/// Metrics of client connections.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    /// Open connections.
    pub active: IntGauge,
    /// Connections accepted since the start.
    pub accepted: IntCounter,
    /// Connections refused because there were too many.
    pub refused: IntCounter,
    /// Connections closed because a request's header did not come in time.
    pub header_timeout: IntCounter,
    /// Connections closed because the TLS handshake failed or took too long.
    pub tls_failed: IntCounter,
}

/// Metrics of the sync.
#[derive(Clone, Debug)]
pub struct SyncMetrics {
    /// The live revision.
    pub config_revision: IntGauge,
    /// The newest revision that the control plane has announced.
    pub head_revision: IntGauge,
    /// 1 while a control plane is connected.
    pub connected: IntGauge,
    /// When the last data from a control plane came, in seconds since 1970.
    pub last_contact: IntGauge,
    /// When the live configuration was applied, in seconds since 1970.
    pub applied_at: IntGauge,
    /// Configurations applied, by kind: snapshot, delta, repair, disk.
    pub applies: IntCounterVec,
    /// Configurations rejected, by reason.
    pub rejections: IntCounterVec,
    /// Time to decode, check, build and swap.
    pub apply_duration: Histogram,
    /// Bytes received from control planes.
    pub received_bytes: IntCounter,
    /// Bytes sent to control planes.
    pub sent_bytes: IntCounter,
    /// Connections to control planes after the first.
    pub reconnects: IntCounter,
    /// 1 while the live configuration came from disk and no control plane has confirmed it.
    pub served_from_disk: IntGauge,
    /// When this node's certificate expires, in seconds since 1970.
    pub certificate_expiry: IntGauge,
    /// Reloads of changed certificate files, by result.
    pub certificate_reloads: IntCounterVec,
    /// Reads and writes of the copy on disk that failed.
    pub cache_errors: IntCounter,
    /// 1 while the copy on disk cannot be kept up to date.
    pub cache_failing: IntGauge,
    /// 1 while the disk does not answer, and changes are acknowledged before they are written.
    pub cache_stalled: IntGauge,
    /// Times that another program removed, replaced or cut the copy on disk.
    pub cache_changes: IntCounter,
    /// Copies written again because secrets were replaced or deleted.
    pub cache_purges: IntCounter,
    /// How often in a row the process ended while it applied one revision.
    pub crashes: IntGauge,
}

impl Metrics {
    /// Makes and registers every metric.
    ///
    /// # Errors
    /// When the registry already holds one of them.
    pub fn new(registry: &Registry) -> Result<Self> {
        let metrics = Self {
            http: HttpMetrics::new(registry)?,
            connections: ConnectionMetrics::new(registry)?,
            sync: SyncMetrics::new(registry)?,
            dns: DnsMetrics::new(registry)?,
            probes: ProbeMetrics::new(registry)?,
            delivery: DeliveryMetrics::new(registry)?,
            cache: CacheMetrics::new(registry)?,
            status_refused: status_refused(registry)?,
            token_reloads: token_reloads(registry)?,
        };
        registry.register(Box::new(node::logging::dropped_lines()))?;
        let opts = Opts::new("gibbon_build_info", "Always 1; the version of this program is the label");
        let info = register(registry, IntGaugeVec::new(opts, &["version"]))?;
        info.with_label_values(&[crate::VERSION]).set(1);
        Ok(metrics)
    }
}

impl HttpMetrics {
    fn new(registry: &Registry) -> Result<Self> {
        let upstream = counters(
            registry,
            "gibbon_upstream_connections_total",
            "Requests sent to an upstream, by whether their connection had been used before",
            "reused",
        )?;
        Ok(Self {
            requests: Requests::new(registry)?,
            errors: errors(registry)?,
            request_duration: histogram(
                registry,
                "gibbon_http_request_duration_seconds",
                "From the end of a request's header to the end of its answer",
            )?,
            upstream_duration: histogram(
                registry,
                "gibbon_http_upstream_duration_seconds",
                "From choosing the upstream to the header of its answer, or to its failure",
            )?,
            gateway_duration: histogram(
                registry,
                "gibbon_http_gateway_duration_seconds",
                "From the end of a request's header until it is given to the upstream, or answered",
            )?,
            in_flight: gauge(registry, "gibbon_http_requests_in_flight", "Requests being answered")?,
            upstream_reused: upstream.with_label_values(&["true"]),
            upstream_fresh: upstream.with_label_values(&["false"]),
        })
    }
}

impl Requests {
    fn new(registry: &Registry) -> Result<Self> {
        let opts =
            Opts::new("gibbon_http_requests_total", "Requests answered, by status and by who answered");
        let family = register(registry, IntCounterVec::new(opts, &["code", "source"]))?;
        Ok(Self { family, bound: STATUSES.map(|_| Default::default()).collect() })
    }

    /// Counts a response.
    pub fn count(&self, status: u16, source: Source) {
        let at = usize::from(status.wrapping_sub(STATUSES.start));
        match self.bound.get(at) {
            Some(bound) => bound[source as usize].get_or_init(|| self.bind(status, source)).inc(),
            // A status that no RFC defines has no counter of its own.
            None => self.family.with_label_values(&["other", source.as_str()]).inc(),
        }
    }

    /// Responses since the start.
    pub fn total(&self) -> u64 {
        self.bound.iter().flatten().filter_map(OnceLock::get).map(IntCounter::get).sum()
    }

    fn bind(&self, status: u16, source: Source) -> IntCounter {
        self.family.with_label_values(&[&status.to_string(), source.as_str()])
    }
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

impl ConnectionMetrics {
    fn new(registry: &Registry) -> Result<Self> {
        let total = counters(
            registry,
            "gibbon_connections_total",
            "Clients' connections, by result; header_timeout and tls_failed are some of the accepted",
            "result",
        )?;
        Ok(Self {
            active: gauge(registry, "gibbon_connections_active", "Clients' connections that are open")?,
            accepted: total.with_label_values(&["accepted"]),
            refused: total.with_label_values(&["refused"]),
            header_timeout: total.with_label_values(&["header_timeout"]),
            tls_failed: total.with_label_values(&["tls_failed"]),
        })
    }
}

impl SyncMetrics {
    fn new(registry: &Registry) -> Result<Self> {
        let gauge = |name, help| gauge(registry, name, help);
        let counter = |name, help| register(registry, IntCounter::new(name, help));
        Ok(Self {
            config_revision: gauge("gibbon_config_revision", "Revision of the configuration that is live")?,
            head_revision: gauge(
                "gibbon_config_head_revision",
                "Newest revision that the control plane has told of",
            )?,
            connected: gauge("gibbon_control_plane_connected", "1 while a control plane is connected")?,
            last_contact: gauge(
                "gibbon_control_plane_last_contact_timestamp_seconds",
                "When a control plane was last heard",
            )?,
            applied_at: gauge(
                "gibbon_config_applied_timestamp_seconds",
                "When the live configuration went live",
            )?,
            applies: started(
                counters(
                    registry,
                    "gibbon_config_applies_total",
                    "Configurations that went live, by kind",
                    "kind",
                )?,
                Mode::ALL.map(Mode::as_str).into_iter().chain(["disk"]),
            ),
            rejections: started(
                counters(
                    registry,
                    "gibbon_config_rejections_total",
                    "Configurations refused, by reason",
                    "reason",
                )?,
                NackReason::ALL.map(NackReason::as_str),
            ),
            apply_duration: histogram(
                registry,
                "gibbon_config_apply_duration_seconds",
                "Time to decode, check, build and swap a configuration",
            )?,
            received_bytes: counter(
                "gibbon_cluster_received_bytes_total",
                "Bytes received from control planes",
            )?,
            sent_bytes: counter("gibbon_cluster_sent_bytes_total", "Bytes sent to control planes")?,
            reconnects: counter(
                "gibbon_cluster_reconnects_total",
                "Connections to control planes that ended or could not be made, each followed by another attempt",
            )?,
            served_from_disk: gauge(
                "gibbon_config_served_from_disk",
                "1 while the live configuration came from the disk and no control plane has confirmed it",
            )?,
            certificate_reloads: certificate_reloads(registry)?,
            certificate_expiry: gauge(
                "gibbon_cluster_certificate_expiry_timestamp_seconds",
                "When this node's certificate ends",
            )?,
            cache_errors: counter(
                "gibbon_config_cache_errors_total",
                "Failed reads and writes of the copy on disk",
            )?,
            cache_failing: gauge(
                "gibbon_config_cache_failing",
                "1 while the copy on disk cannot be kept up to date",
            )?,
            cache_stalled: gauge(
                "gibbon_config_cache_stalled",
                "1 while the disk does not answer, and changes are acknowledged before they are on it",
            )?,
            cache_changes: counter(
                "gibbon_config_cache_changes_total",
                "Times that somebody else had removed, replaced or cut the copy on disk",
            )?,
            cache_purges: counter(
                "gibbon_config_cache_purges_total",
                "New copies on disk that were written because secrets were replaced or deleted",
            )?,
            crashes: gauge(
                "gibbon_config_crashes",
                "How often in a row the program ended while it applied one revision; 0 once a later one is live",
            )?,
        })
    }
}

/// The label for a request to the status listener without a valid token.
pub(crate) const WRONG_TOKEN: &str = "token";

fn status_refused(registry: &Registry) -> Result<IntCounterVec> {
    let name = "gibbon_status_refused_total";
    let help = "Requests and connections that the status listener has refused or cut off";
    let reasons = Bound::ALL.map(Bound::as_str).into_iter().chain([WRONG_TOKEN]);
    Ok(started(counters(registry, name, help, "reason")?, reasons))
}

fn token_reloads(registry: &Registry) -> Result<IntCounterVec> {
    let name = "gibbon_token_reloads_total";
    let help = "Changed files of tokens that were read while the program ran";
    Ok(started(counters(registry, name, help, "result")?, ["done", "refused"]))
}

fn certificate_reloads(registry: &Registry) -> Result<IntCounterVec> {
    let name = "gibbon_cluster_certificate_reloads_total";
    let help = "Changed files of certificates that were read while the program ran";
    Ok(started(counters(registry, name, help, "result")?, ["done", "refused"]))
}

fn errors(registry: &Registry) -> Result<IntCounterVec> {
    let help = "Requests that the gateway failed, by reason";
    let errors = counters(registry, "gibbon_http_errors_total", help, "reason")?;
    Ok(started(errors, RequestFailure::ALL.iter().map(|failure| failure.answer().reason)))
}

/// Creates every series at the start: Prometheus' `rate` does not see the first event of a series that
/// appears with it.
fn started(counters: IntCounterVec, labels: impl IntoIterator<Item = &'static str>) -> IntCounterVec {
    labels.into_iter().for_each(|label| drop(counters.with_label_values(&[label])));
    counters
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    register(registry, IntGauge::new(name, help))
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
}

fn histogram(registry: &Registry, name: &str, help: &str) -> Result<Histogram> {
    let opts = HistogramOpts::new(name, help).buckets(DURATIONS.to_vec());
    register(registry, Histogram::with_opts(opts))
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<C>,
) -> Result<C> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
