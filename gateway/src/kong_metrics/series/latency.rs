//! Histograms of latencies, in milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::proto::{MetricFamily, MetricType};

use super::Counted;
use crate::kong_metrics::families::{Label, family, histogram};

/// Upper bounds of the time that the gateway adds.
const GATEWAY: [u32; 17] = [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000];
/// Upper bounds of the times of upstreams and of whole requests.
const OTHERS: [u32; 13] = [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000];

/// The names of the families.
pub(super) const NAMES: [&str; 3] =
    ["kong_kong_latency_ms", "kong_upstream_latency_ms", "kong_request_latency_ms"];
const HELP: [&str; 3] = [
    "Milliseconds that the gateway and its plugins have added",
    "Milliseconds until the upstream has answered",
    "Milliseconds from the request to the end of its answer",
];

/// The histograms of a service and a route.
#[derive(Debug, Default)]
pub(super) struct Latency {
    gateway: Histogram<18>,
    upstream: Histogram<14>,
    total: Histogram<14>,
}

/// Counts by bucket; the last has no bound.
#[derive(Debug)]
struct Histogram<const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    /// In microseconds.
    sum: AtomicU64,
}

impl Latency {
    pub(super) fn observe(&self, request: &Counted<'_>) {
        self.gateway.observe(&GATEWAY, request.gateway);
        self.total.observe(&OTHERS, request.total);
        if let Some(upstream) = request.upstream {
            self.upstream.observe(&OTHERS, upstream);
        }
    }
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    fn observe(&self, bounds: &[u32], value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let bucket = bounds.iter().take_while(|bound| micros > u64::from(**bound) * 1000).count();
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "a number of Prometheus has 53 bits")]
    fn metric(&self, labels: &[Label<'_>], bounds: &[u32]) -> Option<prometheus::proto::Metric> {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1000.0;
        counts.iter().any(|count| *count > 0).then(|| histogram(labels, bounds, &counts, sum))
    }
}

impl<const BUCKETS: usize> Default for Histogram<BUCKETS> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// The families of the histograms of all services and routes.
pub(super) fn collect<'a>(all: impl Iterator<Item = ([Label<'a>; 3], &'a Latency)>) -> Vec<MetricFamily> {
    let mut metrics = [const { Vec::new() }; 3];
    for (labels, latency) in all {
        metrics[0].extend(latency.gateway.metric(&labels, &GATEWAY));
        metrics[1].extend(latency.upstream.metric(&labels, &OTHERS));
        metrics[2].extend(latency.total.metric(&labels, &OTHERS));
    }
    let named = NAMES.into_iter().zip(HELP).zip(metrics);
    named.map(|((name, help), metrics)| family(name, help, MetricType::HISTOGRAM, metrics)).collect()
}
