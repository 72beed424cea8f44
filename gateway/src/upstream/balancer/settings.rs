//! What an upstream's configuration asks of its balancer, in the balancer's own terms. All durations are exact;
//! a zero duration or number turns its feature off, unless its field says otherwise.

use std::sync::Arc;
use std::time::Duration;

use super::statuses::Statuses;

/// The settings of one upstream.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The upstream's name, for the log.
    pub name: Arc<str>,
    /// How a target is chosen.
    pub algorithm: Algorithm,
    /// Thresholds of active and passive checks.
    pub checks: Checks,
    /// Percent of the regular weight. The upstream serves while more than this is available.
    pub threshold: f64,
    /// Percent of the regular weight. While less is available, health is ignored.
    pub panic_threshold: f64,
    /// What a status in neither list counts as.
    pub other_statuses: OtherStatuses,
    /// Time after which an unhealthy address gets one request as a probe. It doubles with each failure, up to
    /// 16 times. Leave it zero where active checks probe unhealthy addresses.
    pub recover_after: Duration,
    /// Health of an address that was never seen before.
    pub initial: Initial,
    /// Ejection of addresses that answer worse than they should.
    pub outlier: Option<Outlier>,
    /// A growing share for addresses that join or recover.
    pub slow_start: Option<SlowStart>,
    /// Limits of each address.
    pub limits: Limits,
    /// Percent of an address's fair share of the requests in flight, above which consistent hashing passes it
    /// over. Zero, or above 100.
    pub hash_balance_factor: u32,
    /// Preference for addresses in the data plane's own zone.
    pub zone: Option<ZonePreference>,
    /// A limit on concurrent retries.
    pub retries: RetryBudget,
}

/// How a target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The lowest number of requests in flight, by weight.
    LeastConnections,
    /// By a key. A request without a key gets a target in turn.
    ConsistentHashing,
    /// The lower expected latency of two, by weight.
    Latency,
    /// The address that a client had before. A new client gets a target in turn.
    StickySessions,
}

/// Thresholds of active and passive checks.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// Whether any check is configured. Otherwise health is reported as off.
    pub on: bool,
    /// Thresholds of probes.
    pub active: Thresholds,
    /// Thresholds of requests.
    pub passive: Thresholds,
}

/// How many events in a row change the health of an address. Zero: never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thresholds {
    /// Successes until healthy.
    pub successes: u32,
    /// Connection failures until unhealthy.
    pub tcp_failures: u32,
    /// Timeouts until unhealthy.
    pub timeouts: u32,
    /// Unhealthy statuses until unhealthy.
    pub http_failures: u32,
    /// Statuses that are successes.
    pub healthy: Statuses,
    /// Statuses that are failures.
    pub unhealthy: Statuses,
}

/// What a status in neither list counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherStatuses {
    /// As nothing.
    #[default]
    Ignore,
    /// As a success.
    Success,
    /// As an HTTP failure.
    Failure,
}

/// Health of an address that was never seen before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initial {
    /// Served at once.
    #[default]
    Healthy,
    /// Not served until the first probe, unless no address is available.
    Unknown,
}

/// Ejection of outliers for a time that grows.
#[derive(Clone, Copy, Debug)]
pub struct Outlier {
    /// Failures in a row: connection failures, timeouts, and `statuses`.
    pub consecutive: u32,
    /// Statuses that are failures.
    pub statuses: Statuses,
    /// Percent of successes in a window, below which an address is ejected.
    pub success_rate: f64,
    /// Length of a window, and the time of good behaviour that takes one ejection off the record.
    pub window: Duration,
    /// Fewest requests of a window for its rate to count.
    pub min_requests: u32,
    /// Length of the first ejection; the n-th in a row lasts n times as long.
    pub base: Duration,
    /// Longest ejection, before jitter.
    pub max: Duration,
    /// Percent by which an ejection may last longer, at random.
    pub jitter: u32,
    /// Most addresses of a tier that are ejected at a time, in percent. The last available one never is.
    pub max_percent: u32,
}

/// A growing share for addresses that join or recover. Hashing and sticky sessions do not apply it.
#[derive(Clone, Copy, Debug)]
pub struct SlowStart {
    /// Time until the full share.
    pub duration: Duration,
    /// Share at the beginning, in percent.
    pub min_percent: f64,
    /// Exponent: 1 is linear, more is faster at the beginning.
    pub aggression: f64,
}

/// Limits of each address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Requests in flight.
    pub max_requests: u32,
    /// Requests that wait, for each address that is available.
    pub max_queue: u32,
    /// The longest wait.
    pub queue_timeout: Duration,
}

/// Preference for addresses in the data plane's own zone.
#[derive(Clone, Debug)]
pub struct ZonePreference {
    /// The zone of this data plane.
    pub own: Arc<str>,
    /// Percent of the zone's weight that must be available.
    pub min_healthy_percent: f64,
}

/// A limit on concurrent retries.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetryBudget {
    /// Percent of the upstream's requests in flight.
    pub percent: f64,
    /// Retries that are always allowed.
    pub min: u32,
}

impl Settings {
    /// Whether anything looks at the health of addresses. Otherwise none is unhealthy.
    pub(super) fn keep_health(&self) -> bool {
        self.checks.on || self.outlier.is_some()
    }

    /// Creates Kong's defaults: round-robin without checks.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            algorithm: Algorithm::default(),
            checks: Checks::default(),
            threshold: 0.0,
            panic_threshold: 0.0,
            other_statuses: OtherStatuses::default(),
            recover_after: Duration::ZERO,
            initial: Initial::default(),
            outlier: None,
            slow_start: None,
            limits: Limits::default(),
            hash_balance_factor: 0,
            zone: None,
            retries: RetryBudget::default(),
        }
    }

    /// Whether the sum of an upstream's requests in flight is needed.
    pub(super) fn counts_total(&self) -> bool {
        self.hash_balance_factor > 100 || self.retries.percent > 0.0
    }
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: 5,
            statuses: [502, 503, 504].into_iter().collect(),
            success_rate: 0.0,
            window: Duration::from_secs(10),
            min_requests: 100,
            base: Duration::from_secs(30),
            max: Duration::from_secs(300),
            jitter: 10,
            max_percent: 50,
        }
    }
}

impl SlowStart {
    /// Returns the share of an address after `time`, from 0 to 1.
    pub(super) fn share(&self, time: Duration) -> f32 {
        let passed = (time.as_secs_f64() / self.duration.as_secs_f64()).min(1.0);
        let grown = if self.aggression == 1.0 { passed } else { passed.powf(1.0 / self.aggression) };
        grown.max(self.min_percent / 100.0).min(1.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_start_grows_from_its_minimum_to_one() {
        let linear = SlowStart { duration: Duration::from_secs(10), min_percent: 10.0, aggression: 1.0 };
        let share = |seconds| linear.share(Duration::from_secs(seconds));
        assert_eq!([share(0), share(1), share(5), share(10), share(99)], [0.1, 0.1, 0.5, 1.0, 1.0]);
        let steep = SlowStart { aggression: 2.0, ..linear };
        assert!(steep.share(Duration::from_secs(5)) > 0.7);
    }
}
