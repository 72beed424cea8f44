//! Metrics of the health that data planes report.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Result};
use uuid::Uuid;

use super::{Maker, NODE};

/// States of targets that are dropped because there are too many in a short time.
pub(crate) const RATE: &str = "rate";
/// States of targets that are dropped because they need too much memory.
pub(crate) const MEMORY: &str = "memory";

/// Metrics of the targets of all data planes that are connected here.
#[derive(Clone, Debug)]
pub struct HealthMetrics {
    /// Targets by health, summed over the data planes.
    targets: IntGaugeVec,
    /// Targets of each data plane that have no healthy address.
    unhealthy_targets: IntGaugeVec,
    /// States of targets that were received.
    pub entries: IntCounter,
    /// States of targets that were dropped, by the bound that they exceed.
    pub dropped: IntCounterVec,
}

impl HealthMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Result<Self> {
        Ok(Self {
            targets: make.gauges(
                "gibbon_cluster_targets",
                "Targets by health, summed over the data planes that are connected here",
                "health",
            )?,
            unhealthy_targets: make.gauges(
                "gibbon_data_plane_unhealthy_targets",
                "Targets of a data plane that have no healthy address",
                NODE,
            )?,
            entries: make.counter(
                "gibbon_cluster_health_entries_total",
                "States of targets received from data planes",
            )?,
            dropped: make.started(
                "gibbon_cluster_health_dropped_total",
                "States of targets that were dropped, since a data plane sent too many",
                "reason",
                [RATE, MEMORY],
            )?,
        })
    }

    /// Updates the number of targets in a state of health, in all data planes.
    pub fn observe(&self, health: &str, targets: i64) {
        self.targets.with_label_values(&[health]).set(targets);
    }

    /// Updates the number of targets of a data plane that have no healthy address.
    pub fn observe_node(&self, node_id: Uuid, unhealthy: i64) {
        self.unhealthy_targets.with_label_values(&[&node_id.to_string()]).set(unhealthy);
    }

    /// Drops the series of a data plane that reports no more.
    pub fn forget_node(&self, node_id: Uuid) {
        // An error means that there was no such series.
        self.unhealthy_targets.remove_label_values(&[&node_id.to_string()]).ok();
    }
}
