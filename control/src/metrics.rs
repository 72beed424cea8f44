//! Every metric of the control plane.

pub(crate) mod health;
pub(crate) mod rejections;

use node::http::Bound;
use node::link::LinkError;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    core::Collector,
};
use uuid::Uuid;
use wire::{Mode, NackReason, Position};

pub use self::health::HealthMetrics;
use crate::error::AccessError;

/// Bounds in seconds, from a request to SQLite up to the time after which a person gives up.
const DURATIONS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// All metrics, registered.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The Admin API.
    pub admin: AdminMetrics,
    /// Metrics of the data planes.
    pub cluster: ClusterMetrics,
    /// Requests and connections that the status listener has rejected or cut off.
    pub status_refused: IntCounterVec,
    /// Changed token files that were read while the program ran, by whether they were valid.
    pub token_reloads: IntCounterVec,
}

/// Metrics of the Admin API.
#[derive(Clone, Debug)]
pub struct AdminMetrics {
    /// Requests, by status.
    pub requests: IntCounterVec,
    /// Time from a request's header to its answer.
    pub request_duration: Histogram,
    /// Requests and connections that were rejected or cut off, by reason.
    pub refused: IntCounterVec,
    /// Changed TLS files that were read while the program ran, by whether they were valid.
    pub certificate_reloads: IntCounterVec,
}

/// Metrics of the data planes.
#[derive(Clone, Debug)]
pub struct ClusterMetrics {
    /// The newest published revision.
    pub config_revision: IntGauge,
    /// Data planes that are connected here.
    pub data_planes_connected: IntGauge,
    /// Connected data planes that get no updates, because they lack something that they must understand.
    pub data_planes_incompatible: IntGauge,
    /// Whether each data plane is connected.
    pub connected: IntGaugeVec,
    /// The revision that each data plane holds.
    pub applied_revision: IntGaugeVec,
    /// The number of revisions that each data plane is behind.
    pub lag: IntGaugeVec,
    /// The time of the last sign of life of each data plane.
    pub last_seen: IntGaugeVec,
    /// Updates that data planes applied.
    pub acks: IntCounter,
    /// Updates that data planes rejected.
    pub nacks: IntCounterVec,
    /// Data planes found to hold another root than this control plane at the same revision.
    pub drifts: IntCounter,
    /// Connections rejected before a byte of configuration was sent.
    pub handshakes_refused: IntCounterVec,
    /// Messages of data planes that could not be read.
    pub unreadable_frames: IntCounter,
    /// Bytes to data planes.
    pub sent_bytes: IntCounter,
    /// Bytes from data planes.
    pub received_bytes: IntCounter,
    /// How long data planes take to apply an update, as they report it.
    pub apply_duration: Histogram,
    /// Updates that were encoded, however many data planes they went to.
    pub updates_encoded: IntCounterVec,
    /// Time from reading the log to the new head.
    pub publish_duration: Histogram,
    /// Whether the database answers.
    pub database_reachable: IntGauge,
    /// Whether a configuration is held back from data planes until it is confirmed.
    pub guard_held_back: IntGauge,
    /// The time at which this node's certificate expires.
    pub certificate_expiry: IntGauge,
    /// Changed certificate files that were read while the program ran, by whether they were valid.
    pub certificate_reloads: IntCounterVec,
    /// The health of targets.
    pub health: HealthMetrics,
}

/// Creates and registers metrics.
struct Maker<'a>(&'a Registry);

impl Metrics {
    /// Creates and registers all metrics.
    ///
    /// # Errors
    /// When one of their names is registered already.
    pub fn new(registry: &Registry) -> Result<Self> {
        registry.register(Box::new(node::logging::dropped_lines()))?;
        let make = Maker(registry);
        let info =
            make.gauges("gibbon_build_info", "Always 1; the label tells the program's version", "version")?;
        info.with_label_values(&[crate::VERSION]).set(1);
        Ok(Self {
            admin: AdminMetrics::new(&make)?,
            cluster: ClusterMetrics::new(&make)?,
            status_refused: make.started(
                "gibbon_status_refused_total",
                "Requests and connections that the status listener has refused or cut off",
                "reason",
                Bound::ALL.map(Bound::as_str).into_iter().chain(crate::status::REASONS),
            )?,
            token_reloads: make.started(
                "gibbon_token_reloads_total",
                "Changed files of tokens that were read while the program ran",
                "result",
                RELOADS,
            )?,
        })
    }

    /// Counts a changed token file.
    pub fn count_token_reload(&self, good: bool) {
        self.token_reloads.with_label_values(&[RELOADS[usize::from(!good)]]).inc();
    }
}

impl AdminMetrics {
    fn new(make: &Maker<'_>) -> Result<Self> {
        Ok(Self {
            requests: make.counters(
                "gibbon_admin_requests_total",
                "Requests to the Admin API by status",
                "code",
            )?,
            request_duration: make.histogram(
                "gibbon_admin_request_duration_seconds",
                "From a request's header to its answer",
            )?,
            refused: make.started(
                "gibbon_admin_refused_total",
                "Requests and connections that the Admin API has refused or cut off",
                "reason",
                Bound::ALL.map(Bound::as_str).into_iter().chain(AccessError::ALL.map(AccessError::reason)),
            )?,
            certificate_reloads: make.started(
                "gibbon_admin_certificate_reloads_total",
                "Changed files of the Admin API's TLS that were read while the program ran",
                "result",
                RELOADS,
            )?,
        })
    }

    /// Counts a changed TLS file.
    pub fn count_certificate_reload(&self, good: bool) {
        self.certificate_reloads.with_label_values(&[RELOADS[usize::from(!good)]]).inc();
    }
}

impl ClusterMetrics {
    fn new(make: &Maker<'_>) -> Result<Self> {
        let metrics = Self {
            config_revision: make.gauge("gibbon_config_revision", "Newest revision that is published")?,
            data_planes_connected: make
                .gauge("gibbon_data_planes_connected", "Data planes connected here")?,
            data_planes_incompatible: make.gauge(
                "gibbon_data_planes_incompatible",
                "Connected data planes that get no updates: they do not know a kind or field that is in use",
            )?,
            connected: make.gauges(
                "gibbon_data_plane_connected",
                "Whether a data plane is connected here",
                NODE,
            )?,
            applied_revision: make.gauges(
                "gibbon_data_plane_applied_revision",
                "Revision that a data plane holds",
                NODE,
            )?,
            lag: make.gauges(
                "gibbon_data_plane_lag_revisions",
                "Revisions that a data plane is behind",
                NODE,
            )?,
            last_seen: make.gauges(
                "gibbon_data_plane_last_seen_timestamp_seconds",
                "When a data plane was last heard",
                NODE,
            )?,
            acks: make.counter("gibbon_cluster_acks_total", "Updates that data planes made live")?,
            nacks: make.counters(
                "gibbon_cluster_nacks_total",
                "Updates that data planes refused",
                "reason",
            )?,
            drifts: make.counter(
                "gibbon_cluster_drifts_total",
                "Data planes found to hold something else at the same revision; each is repaired, and a bug",
            )?,
            handshakes_refused: make.counters(
                "gibbon_cluster_handshakes_refused_total",
                "Connections refused before any configuration was sent",
                "reason",
            )?,
            unreadable_frames: make.counter(
                "gibbon_cluster_unreadable_frames_total",
                "Messages of data planes that could not be read, or were too long",
            )?,
            sent_bytes: make.counter("gibbon_cluster_sent_bytes_total", "Bytes sent to data planes")?,
            received_bytes: make
                .counter("gibbon_cluster_received_bytes_total", "Bytes received from data planes")?,
            apply_duration: make.histogram(
                "gibbon_cluster_apply_duration_seconds",
                "How long data planes take to apply an update, as they report it",
            )?,
            updates_encoded: make.counters(
                "gibbon_updates_encoded_total",
                "Updates encoded, however many data planes they went to",
                "kind",
            )?,
            publish_duration: make.histogram(
                "gibbon_publish_duration_seconds",
                "From reading the change log to the new head",
            )?,
            database_reachable: make.gauge("gibbon_database_reachable", "Whether the database answers")?,
            guard_held_back: make.gauge(
                "gibbon_cluster_guard_held_back",
                "Whether a configuration is held back from data planes until it is confirmed",
            )?,
            certificate_expiry: make.gauge(
                "gibbon_cluster_certificate_expiry_timestamp_seconds",
                "When this node's certificate expires",
            )?,
            certificate_reloads: make.counters(
                "gibbon_cluster_certificate_reloads_total",
                "Changed files of certificates that were read while the program ran",
                "result",
            )?,
            health: HealthMetrics::new(make)?,
        };
        // Series that exist before the first event make `rate` see that event.
        (LinkError::REASONS.iter().chain(&rejections::ALL))
            .for_each(|reason| metrics.handshakes_refused.with_label_values(&[reason]).reset());
        ["done", "refused"]
            .iter()
            .for_each(|result| metrics.certificate_reloads.with_label_values(&[result]).reset());
        Mode::ALL.iter().for_each(|mode| metrics.updates_encoded.with_label_values(&[mode.as_str()]).reset());
        NackReason::ALL.iter().for_each(|reason| metrics.nacks.with_label_values(&[reason.as_str()]).reset());
        Ok(metrics)
    }

    /// Updates the series of one data plane; `head` is the newest revision.
    pub fn observe_node(&self, row: &entity::data_plane::Model, head: Position) {
        let id = row.id.to_string();
        let head_revision = i64::try_from(head.revision).unwrap_or(i64::MAX);
        let applied = row.applied_revision.unwrap_or(0);
        // A revision of another epoch is nowhere on the way to the head.
        let on_the_way = if row.applied_epoch == Some(head.epoch) { applied } else { 0 };
        self.connected.with_label_values(&[&id]).set(i64::from(row.connected));
        self.applied_revision.with_label_values(&[&id]).set(applied);
        self.lag.with_label_values(&[&id]).set((head_revision - on_the_way).max(0));
        self.last_seen.with_label_values(&[&id]).set(row.last_seen);
    }

    /// Drops the series of a forgotten data plane.
    pub fn forget_node(&self, node_id: Uuid) {
        let id = node_id.to_string();
        for series in [&self.connected, &self.applied_revision, &self.lag, &self.last_seen] {
            // An error means that there was no such series.
            series.remove_label_values(&[&id]).ok();
        }
    }
}

const NODE: &str = "node_id";

/// The outcomes of reading a changed file.
const RELOADS: [&str; 2] = ["done", "refused"];

impl Maker<'_> {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), &[label])?)
    }

    /// Creates every series at the start: Prometheus' `rate` does not see the first event of a series that
    /// appears with it.
    fn started(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = &'static str>,
    ) -> Result<IntCounterVec> {
        let counters = self.counters(name, help, label)?;
        values.into_iter().for_each(|value| counters.with_label_values(&[value]).reset());
        Ok(counters)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), &[label])?)
    }

    fn histogram(&self, name: &str, help: &str) -> Result<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(DURATIONS.to_vec()))?)
    }

    fn register<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}
