//! Metrics of what plugins and the access log report. The label is the name of a plugin, never one of its
//! instances: there may be many.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry, Result};

use super::{counters, register};

/// Metrics of what is reported.
#[derive(Clone, Debug)]
pub struct DeliveryMetrics {
    /// Entries that a collector has taken, by plugin.
    sent: IntCounterVec,
    /// Entries that are lost, by plugin and reason.
    dropped: IntCounterVec,
}

/// Why an entry is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Its queue was full, and newer entries took its place.
    Full,
    /// The entries of all queues took too much memory.
    Memory,
    /// It is larger than its queue may be.
    TooLarge,
    /// The collector did not take it in time.
    Failed,
    /// The program has ended.
    Stopped,
}

impl DeliveryMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// When the registry already holds one of them.
    pub fn new(registry: &Registry) -> Result<Self> {
        let help = "Entries of logs, traces and metrics that are lost, by plugin and reason";
        let opts = Opts::new("gibbon_log_entries_dropped_total", help);
        Ok(Self {
            sent: counters(
                registry,
                "gibbon_log_entries_sent_total",
                "Entries of logs, traces and metrics that a collector has taken, by plugin",
                "plugin",
            )?,
            dropped: register(registry, IntCounterVec::new(opts, &["plugin", "reason"]))?,
        })
    }

    /// Counts entries that a collector has taken.
    pub fn send_entries(&self, plugin: &str, entries: usize) {
        self.sent.with_label_values(&[plugin]).inc_by(entries as u64);
    }

    /// Counts entries that are lost.
    pub fn drop_entries(&self, plugin: &str, reason: DropReason, entries: usize) {
        if entries > 0 {
            self.dropped.with_label_values(&[plugin, reason.as_str()]).inc_by(entries as u64);
        }
    }

    /// The counter of lost entries.
    pub fn dropped(&self, plugin: &str, reason: DropReason) -> IntCounter {
        self.dropped.with_label_values(&[plugin, reason.as_str()])
    }

    /// The counter of entries that a collector has taken.
    pub fn sent(&self, plugin: &str) -> IntCounter {
        self.sent.with_label_values(&[plugin])
    }
}

impl DropReason {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Memory => "memory",
            Self::TooLarge => "too_large",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}
