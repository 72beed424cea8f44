//! Metrics of the health that data planes report.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Result};
use uuid::Uuid;

use super::{Maker, NODE};
use crate::cluster::{DropReason, Finding, TargetCounts};

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
        let metrics = Self {
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
                DropReason::ALL.map(DropReason::as_str),
            )?,
        };
        metrics.observe([0; Finding::ALL.len()]);
        Ok(metrics)
    }

    /// Updates the targets of all data planes, in the order of [`Finding::ALL`].
    pub fn observe(&self, by_finding: [i64; Finding::ALL.len()]) {
        for (finding, count) in Finding::ALL.iter().zip(by_finding) {
            self.targets.with_label_values(&[finding.as_str()]).set(count);
        }
    }

    /// Updates the series of one data plane.
    pub fn observe_node(&self, node_id: Uuid, counts: TargetCounts) {
        let unhealthy = i64::from(counts.unhealthy) + i64::from(counts.dns_error);
        self.unhealthy_targets.with_label_values(&[&node_id.to_string()]).set(unhealthy);
    }

    /// Drops the series of a data plane that reports no more.
    pub fn forget_node(&self, node_id: Uuid) {
        // An error means that there was no such series.
        self.unhealthy_targets.remove_label_values(&[&node_id.to_string()]).ok();
    }
}
