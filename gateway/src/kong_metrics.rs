//! Kong's families of metrics, under its names, with its labels and buckets, so that its dashboards and alerts
//! work. Which requests are counted in them, instances of the plugin `prometheus` decide.
//!
//! A request reads maps that are never changed in place, and adds to atomic numbers. Labels come from the
//! configuration and from statuses, and each of them has a cap: what is beyond it is counted under `other`.

mod families;
mod series;

use std::sync::atomic::{AtomicU8, Ordering};

use prometheus::proto::MetricFamily;

pub use self::families::{Label, counter, family, gauge};
use self::series::Series;
pub use self::series::{Counted, Source};

/// The families that an instance of the plugin switches on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// Requests by status.
    pub statuses: bool,
    /// Latencies.
    pub latencies: bool,
    /// Bytes.
    pub bytes: bool,
    /// Whether requests and bytes have the name of the consumer.
    pub consumers: bool,
    /// The health of targets.
    pub targets: bool,
}

/// The families that requests are counted in, and which of those about the node are shown. They are those of
/// the process, and outlive every change of the configuration.
#[derive(Debug, Default)]
pub struct KongMetrics {
    series: Series,
    shown: AtomicU8,
}

/// An instance of the plugin has been at work.
const ANY: u8 = 1;
/// One that shows the health of targets has.
const TARGETS: u8 = 2;

impl KongMetrics {
    /// Shows the families that are about the node, once an instance of the plugin is at work.
    pub fn show(&self, families: Families) {
        let wanted = if families.targets { ANY | TARGETS } else { ANY };
        // Most requests find it done; a write would take the cache line from other threads.
        if self.shown.load(Ordering::Relaxed) & wanted != wanted {
            self.shown.fetch_or(wanted, Ordering::Relaxed);
        }
    }

    /// Counts a request in the families.
    pub fn count(&self, request: &Counted<'_>, families: Families) {
        self.show(families);
        self.series.count(request, families);
    }

    /// Whether an instance of the plugin has been at work.
    pub fn is_used(&self) -> bool {
        self.shown.load(Ordering::Relaxed) & ANY != 0
    }

    /// Whether one has that shows the health of targets.
    pub fn shows_targets(&self) -> bool {
        self.shown.load(Ordering::Relaxed) & TARGETS != 0
    }

    /// The names of the families of requests.
    pub const NAMES: [&str; 5] = series::NAMES;

    /// The families of requests, without those in which nothing was counted.
    pub fn collect(&self) -> Vec<MetricFamily> {
        self.series.collect()
    }
}
