//! Metrics of active health checks.

use std::time::Duration;

use prometheus::{Histogram, IntCounterVec, IntGauge, Registry, Result};

use super::{counters, gauge, histogram, started};

/// Metrics of active health checks. Whether a status is healthy is each upstream's own decision.
#[derive(Clone, Debug)]
pub struct ProbeMetrics {
    /// Probes that have ended, by result.
    pub results: IntCounterVec,
    /// By how much probes began late.
    pub lag: Histogram,
    /// From the start of a probe to its result.
    pub duration: Histogram,
    /// Probes that run now.
    pub running: IntGauge,
    /// Different probes that upstreams want.
    pub planned: IntGauge,
}

/// The result of an active health check, for its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The address accepts connections, or the service of gRPC is serving.
    Success,
    /// An answer with such a status.
    Status2xx,
    /// The same.
    Status3xx,
    /// The same.
    Status4xx,
    /// The same.
    Status5xx,
    /// An answer with a status of no such class.
    OtherStatus,
    /// An invalid answer, or a service of gRPC that is not serving.
    HttpFailure,
    /// No connection, no TLS, or no answer on the connection.
    TcpFailure,
    /// Not complete within the timeout.
    Timeout,
}

impl ProbeMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When the registry already holds one of them.
    pub fn new(registry: &Registry) -> Result<Self> {
        let results = counters(
            registry,
            "gibbon_upstream_probes_total",
            "Active health checks that have ended, by result",
            "result",
        )?;
        Ok(Self {
            results: started(results, ProbeResult::ALL.map(ProbeResult::as_str)),
            lag: histogram(
                registry,
                "gibbon_upstream_probe_lag_seconds",
                "By how much active health checks began later than planned",
            )?,
            duration: histogram(
                registry,
                "gibbon_upstream_probe_duration_seconds",
                "From the start of an active health check to its result",
            )?,
            running: gauge(registry, "gibbon_upstream_probes_running", "Active health checks that run now")?,
            planned: gauge(
                registry,
                "gibbon_upstream_probes_planned",
                "Different active health checks that upstreams want",
            )?,
        })
    }

    /// Counts a probe that took `duration`.
    pub fn count(&self, result: ProbeResult, duration: Duration) {
        self.results.with_label_values(&[result.as_str()]).inc();
        self.duration.observe(duration.as_secs_f64());
    }
}

impl ProbeResult {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Status2xx,
        Self::Status3xx,
        Self::Status4xx,
        Self::Status5xx,
        Self::OtherStatus,
        Self::HttpFailure,
        Self::TcpFailure,
        Self::Timeout,
    ];

    /// The result of an answer with this status.
    pub fn of_status(status: u16) -> Self {
        match status / 100 {
            2 => Self::Status2xx,
            3 => Self::Status3xx,
            4 => Self::Status4xx,
            5 => Self::Status5xx,
            _ => Self::OtherStatus,
        }
    }

    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Status2xx => "2xx",
            Self::Status3xx => "3xx",
            Self::Status4xx => "4xx",
            Self::Status5xx => "5xx",
            Self::OtherStatus => "other_status",
            Self::HttpFailure => "http_failure",
            Self::TcpFailure => "tcp_failure",
            Self::Timeout => "timeout",
        }
    }
}
