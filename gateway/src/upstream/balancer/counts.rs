//! What operators count of addresses and upstreams. An attempt costs an addition or two; everything else is
//! computed when somebody reads the counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::outcome::Outcome;

/// Upper bounds of latencies, in microseconds.
const BOUNDS: [u64; 16] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 60_000_000,
];

/// Attempts of one address, by outcome.
#[derive(Debug, Default)]
pub(super) struct Attempts([AtomicU64; 4]);

/// Attempts of one address since the data plane started, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttemptCounts {
    /// Answered with a status below 500.
    pub ok: u64,
    /// Answered with a status of 500 or above.
    pub server_error: u64,
    /// Not connected, or broken before the answer.
    pub connect: u64,
    /// Not answered in time.
    pub timeout: u64,
}

/// Latencies of an upstream. It stands on a cache line of its own: every attempt writes to it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Latencies {
    /// The last one counts those above all bounds.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// Latencies of an upstream since the data plane started, from the choice of a target to the head of its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyCounts {
    /// Upper bounds in seconds, and how many latencies were not above each.
    pub buckets: Vec<(f64, u64)>,
    /// All latencies.
    pub count: u64,
    /// Their sum in seconds.
    pub sum: f64,
}

impl Attempts {
    /// Counts an attempt, unless the address has no part in its outcome.
    pub(super) fn count(&self, outcome: &Outcome<'_>) {
        let index = match outcome {
            Outcome::Answered { status: ..500, .. } => 0,
            Outcome::Answered { .. } => 1,
            Outcome::ConnectFailed { .. } => 2,
            Outcome::TimedOut => 3,
            Outcome::Ignored => return,
        };
        self.0[index].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> AttemptCounts {
        let [ok, server_error, connect, timeout] =
            self.0.each_ref().map(|count| count.load(Ordering::Relaxed));
        AttemptCounts { ok, server_error, connect, timeout }
    }
}

impl Latencies {
    /// Counts a latency.
    pub(super) fn count(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let index = BOUNDS.partition_point(|bound| *bound < micros);
        self.counts[index].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> LatencyCounts {
        let mut count = 0;
        let cumulative = self.counts.each_ref().map(|counted| {
            count += counted.load(Ordering::Relaxed);
            count
        });
        let buckets = BOUNDS.map(|bound| bound as f64 / 1e6).into_iter().zip(cumulative).collect();
        LatencyCounts { buckets, count, sum: self.micros.load(Ordering::Relaxed) as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_count() {
        let attempts = Attempts::default();
        let took = Duration::ZERO;
        let answered = |status| Outcome::Answered { status, took };
        for outcome in [answered(200), answered(499), answered(500), answered(503)] {
            attempts.count(&outcome);
        }
        attempts.count(&Outcome::ConnectFailed { reason: "refused" });
        attempts.count(&Outcome::TimedOut);
        attempts.count(&Outcome::Ignored);
        let counts = AttemptCounts { ok: 2, server_error: 2, connect: 1, timeout: 1 };
        assert_eq!(attempts.counts(), counts);
    }

    #[test]
    fn a_latency_counts_in_every_bucket_from_its_own_on() {
        let latencies = Latencies::default();
        for micros in [250, 251, 61_000_000] {
            latencies.count(Duration::from_micros(micros));
        }
        let counts = latencies.counts();
        assert_eq!(counts.buckets[..2], [(0.000_25, 1), (0.000_5, 2)]);
        assert_eq!((counts.buckets[BOUNDS.len() - 1], counts.count), ((60.0, 2), 3));
        assert!((counts.sum - 61.000_501).abs() < 1e-9, "{}", counts.sum);
    }
}
