//! The health of the fleet's targets, as the data planes report it that are connected here.
//!
//! Everything is in memory, and bounded for each data plane. It is not shared with other control planes: each
//! knows its own data planes, and a view says how many those are.

mod entries;
mod node;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;
use wire::{HealthReport, TargetHealth};

pub use self::entries::Finding;
use self::node::{Dropped, NodeHealth};
use crate::metrics::HealthMetrics;

/// How long the last report of a data plane counts after its connection has ended, and until the first full
/// report of the next one: a short loss of the connection does not change the view.
pub const GRACE: Duration = Duration::from_secs(30);

/// The health of the fleet, shared by all sessions.
#[derive(Clone, Debug)]
pub struct FleetHealth {
    nodes: Arc<Mutex<HashMap<Uuid, NodeHealth>>>,
    metrics: HealthMetrics,
}

/// What one data plane says of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The data plane.
    pub node_id: Uuid,
    /// What it says.
    pub state: Sighted,
}

/// The state of a target on a data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighted {
    /// It has one address, its own, and is healthy if anything checks it.
    Plain,
    /// It has this state.
    Named(TargetHealth),
    /// The data plane does not have the target yet, or its report is not known as a whole.
    Unknown,
}

/// The targets of one data plane in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetCounts {
    /// Targets of its configuration.
    pub targets: u32,
    /// Targets without a healthy address.
    pub unhealthy: u32,
    /// Targets whose name gives no address.
    pub dns_error: u32,
    /// When the last report came, in seconds since 1970.
    pub reported_at: i64,
}

/// A target to look up.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Its id.
    pub target: Uuid,
    /// When it was created, in milliseconds since 1970.
    pub created_at: i64,
}

impl FleetHealth {
    /// Creates the health of a fleet without data planes.
    pub fn new(metrics: HealthMetrics) -> Self {
        let fleet = Self { nodes: Arc::default(), metrics };
        // Every series exists from the start.
        fleet.measure();
        fleet
    }

    /// Notes that a data plane has connected. Its last report counts until the next full one, for a while.
    pub(super) fn joined(&self, node_id: Uuid) {
        if let Some(node) = self.nodes.lock().get_mut(&node_id) {
            node.disconnected(Instant::now());
        }
    }

    /// Notes that the connection of a data plane has ended.
    pub(super) fn left(&self, node_id: Uuid) {
        self.joined(node_id);
    }

    /// Forgets a data plane.
    pub(super) fn forget(&self, node_id: Uuid) {
        let before = self.nodes.lock().remove(&node_id);
        // Its memory is freed without the lock.
        drop(before);
        self.metrics.forget_node(node_id);
    }

    /// Takes a report of a connected data plane. What exceeds its bounds is dropped, which the log says once
    /// until a full report is complete.
    pub(super) fn report(&self, node_id: Uuid, report: HealthReport, now_seconds: i64) {
        let entries = report.entries.len();
        self.metrics.entries.inc_by(entries as u64);
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(node_id).or_insert_with(|| NodeHealth::new(Instant::now()));
        let was_whole = node.is_whole();
        let (dropped, replaced) = node.take(report, Instant::now(), now_seconds);
        let begins = was_whole && !node.is_whole();
        drop(nodes);
        drop(replaced);
        if let Some(Dropped { entries, reason }) = dropped {
            self.metrics.dropped.with_label_values(&[reason]).inc_by(entries);
            if begins {
                warn!(%node_id, entries, reason, "a data plane reports more health than is kept of it");
            }
        }
    }

    /// Returns what each reporting data plane says of these targets, in the order of node ids. `head` is the
    /// published revision: a data plane that does not hold it may lack the newest targets. `only` limits the
    /// answer to one data plane.
    pub fn sightings(&self, wanted: &[Wanted], head: u64, only: Option<Uuid>) -> Vec<Vec<Sighting>> {
        let now = Instant::now();
        let nodes = self.nodes.lock();
        let mut reporting: Vec<(&Uuid, &NodeHealth)> = nodes
            .iter()
            .filter(|(id, node)| node.is_reporting(now) && only.is_none_or(|only| only == **id))
            .collect();
        reporting.sort_unstable_by_key(|(id, _)| **id);
        let of = |wanted: &Wanted| {
            let sighting = |(id, node): &(&Uuid, &NodeHealth)| Sighting {
                node_id: **id,
                state: node.sighted(*wanted, head),
            };
            reporting.iter().map(sighting).collect()
        };
        wanted.iter().map(of).collect()
    }

    /// Returns the reporting data planes.
    pub fn reporting(&self) -> Vec<Uuid> {
        let now = Instant::now();
        let nodes = self.nodes.lock();
        nodes.iter().filter(|(_, node)| node.is_reporting(now)).map(|(id, _)| *id).collect()
    }

    /// Returns the targets of a reporting data plane in numbers.
    pub fn counts(&self, node_id: Uuid) -> Option<TargetCounts> {
        let now = Instant::now();
        let nodes = self.nodes.lock();
        nodes.get(&node_id).filter(|node| node.is_reporting(now)).map(NodeHealth::counts)
    }

    /// Forgets reports that do not count any more, and updates the metrics.
    pub(super) fn measure(&self) {
        let now = Instant::now();
        let mut nodes = self.nodes.lock();
        let gone: Vec<Uuid> = nodes.iter().filter(|(_, node)| node.is_over(now)).map(|(id, _)| *id).collect();
        let removed: Vec<_> = gone.iter().filter_map(|id| nodes.remove(id)).collect();
        let mut findings = [0_i64; Finding::ALL.len()];
        for (id, node) in nodes.iter().filter(|(_, node)| node.is_reporting(now)) {
            let TargetCounts { unhealthy, dns_error, .. } = node.counts();
            self.metrics.observe_node(*id, i64::from(unhealthy) + i64::from(dns_error));
            let counts = node.by_finding();
            findings.iter_mut().zip(counts).for_each(|(sum, count)| *sum += i64::from(count));
        }
        drop(nodes);
        drop(removed);
        gone.into_iter().for_each(|id| self.metrics.forget_node(id));
        let findings = Finding::ALL.iter().zip(findings);
        findings.for_each(|(finding, count)| self.metrics.observe(finding.as_str(), count));
    }
}

#[cfg(test)]
mod tests;
