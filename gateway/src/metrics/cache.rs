//! Metrics of the answers that `proxy-cache` keeps.

use prometheus::{IntCounter, IntGauge, Registry, Result};

use super::{counters, gauge, started};

/// Metrics of the answers that are kept.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    /// Requests that were answered from the cache.
    pub hits: IntCounter,
    /// Requests for which it had no answer.
    pub misses: IntCounter,
    /// Requests for which it had one that they could not have.
    pub refreshes: IntCounter,
    /// Requests whose answers are not kept.
    pub bypasses: IntCounter,
    /// Waits for the answer to another request that brought it.
    pub waits_kept: IntCounter,
    /// Waits for an answer that was not kept.
    pub waits_not_kept: IntCounter,
    /// Waits that took too long.
    pub waits_timed_out: IntCounter,
    /// Bytes of all answers.
    pub bytes: IntGauge,
    /// Answers, and marks of those that are not kept.
    pub entries: IntGauge,
}

impl CacheMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When the registry already holds one of them.
    pub fn new(registry: &Registry) -> Result<Self> {
        let requests = started(
            counters(
                registry,
                "gibbon_proxy_cache_requests_total",
                "Requests that proxy-cache looked at, by what it did",
                "status",
            )?,
            ["hit", "miss", "refresh", "bypass"],
        );
        let waits = started(
            counters(
                registry,
                "gibbon_proxy_cache_waits_total",
                "Requests that waited for the answer to another one, by result",
                "result",
            )?,
            ["hit", "not_kept", "timeout"],
        );
        Ok(Self {
            hits: requests.with_label_values(&["hit"]),
            misses: requests.with_label_values(&["miss"]),
            refreshes: requests.with_label_values(&["refresh"]),
            bypasses: requests.with_label_values(&["bypass"]),
            waits_kept: waits.with_label_values(&["hit"]),
            waits_not_kept: waits.with_label_values(&["not_kept"]),
            waits_timed_out: waits.with_label_values(&["timeout"]),
            bytes: gauge(registry, "gibbon_proxy_cache_bytes", "Memory of the answers that are kept")?,
            entries: gauge(registry, "gibbon_proxy_cache_entries", "Answers that are kept")?,
        })
    }
}
