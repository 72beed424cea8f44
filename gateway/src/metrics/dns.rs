//! Metrics of name look-ups. No label is a name: there may be thousands.

use prometheus::{IntCounterVec, IntGauge, Registry, Result};

use super::{counters, gauge, started};

/// Metrics of name look-ups.
#[derive(Clone, Debug)]
pub struct DnsMetrics {
    /// Look-ups, by result.
    pub look_ups: IntCounterVec,
    /// Names that are looked up.
    pub names: IntGauge,
    /// Those whose last look-up failed.
    pub failing: IntGauge,
    /// Seconds for which the oldest addresses in use have outlived their TTL.
    pub oldest: IntGauge,
}

impl DnsMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When the registry already holds one of them.
    pub fn new(registry: &Registry) -> Result<Self> {
        let look_ups = counters(
            registry,
            "gibbon_dns_lookups_total",
            "Look-ups of names, by result; no_address: a name server has denied the name, or that it has addresses",
            "result",
        )?;
        Ok(Self {
            look_ups: started(look_ups, ["found", "no_address", "timeout", "failed"]),
            names: gauge(registry, "gibbon_dns_names", "Names of upstreams that are looked up")?,
            failing: gauge(registry, "gibbon_dns_names_failing", "Names whose last look-up failed")?,
            oldest: gauge(
                registry,
                "gibbon_dns_oldest_answer_age_seconds",
                "How long ago the TTL of the oldest addresses in use has passed",
            )?,
        })
    }
}
