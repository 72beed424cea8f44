//! Metrics of upstreams and their targets, computed from the balancers whenever they are read.
//!
//! Labels come from the configuration and from DNS, never from clients, and only live targets have series. What
//! is beyond a cap is added up under the label `other`, so that every family is bounded.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Result};
use wire::Health;

use crate::cluster::state_of_address;
use crate::upstream::balancer::{LatencyCounts, UpstreamReport};
use crate::upstream::{Balancing, Group};

/// Addresses with series of their own.
const MOST_ADDRESSES: usize = 1000;
/// Upstreams with series of their own.
const MOST_UPSTREAMS: usize = 1000;
/// Upstreams with a histogram of their own: each has many series.
const MOST_HISTOGRAMS: usize = 100;
/// The label of all others.
const OTHER: &str = "other";

const LATENCY: &str = "gibbon_upstream_latency_seconds";
const LATENCY_HELP: &str = "From the choice of a target to the head of its answer, by upstream";

/// Computes the metrics of the live upstreams.
#[derive(Debug)]
pub struct UpstreamCollector {
    balancing: Arc<Balancing>,
    descriptions: Vec<Desc>,
    /// Filled again by each reader.
    families: Mutex<Families>,
}

/// One family for each metric, except for the histogram.
#[derive(Debug)]
struct Families {
    /// Targets in the configuration.
    targets: IntGaugeVec,
    /// 1 while no target may serve.
    unavailable: IntGaugeVec,
    /// Weight of the regular targets' addresses.
    weight: IntGaugeVec,
    /// The same of those that may serve.
    available_weight: IntGaugeVec,
    /// Retries.
    retries: IntCounterVec,
    /// Ejections, by reason.
    ejections: IntCounterVec,
    /// 1 for each address, with its state.
    health: IntGaugeVec,
    /// Attempts, by outcome.
    requests: IntCounterVec,
    /// Requests in flight.
    in_flight: IntGaugeVec,
}

/// The labels of an address.
type Labels<'l> = [&'l str; 3];

impl UpstreamCollector {
    /// Creates the metrics of the live groups of `balancing`.
    ///
    /// # Errors
    /// Never: the names are valid.
    pub fn new(balancing: Arc<Balancing>) -> Result<Self> {
        let families = Families::new()?;
        let latency = Desc::new(LATENCY.into(), LATENCY_HELP.into(), vec!["upstream".into()], [].into())?;
        let mut descriptions = vec![latency];
        families.each(|family| descriptions.extend(family.desc().into_iter().cloned()));
        Ok(Self { balancing, descriptions, families: Mutex::new(families) })
    }
}

impl Collector for UpstreamCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut groups = self.balancing.live();
        // The same upstreams have series of their own each time.
        groups.sort_by(|one, other| one.terms().name.cmp(&other.terms().name));
        let families = self.families.lock();
        families.fill(&groups);
        let mut collected = vec![latencies(&groups)];
        families.each(|family| collected.extend(family.collect()));
        collected
    }
}

impl Families {
    fn new() -> Result<Self> {
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counters = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        Ok(Self {
            targets: gauges("gibbon_upstream_targets", "Targets in the configuration", &["upstream"])?,
            unavailable: gauges(
                "gibbon_upstream_unavailable",
                "1 while no target of the upstream may serve",
                &["upstream"],
            )?,
            weight: gauges(
                "gibbon_upstream_weight",
                "Weight of the addresses of regular targets",
                &["upstream"],
            )?,
            available_weight: gauges(
                "gibbon_upstream_available_weight",
                "Weight of the addresses of regular targets that may serve",
                &["upstream"],
            )?,
            retries: counters(
                "gibbon_upstream_retries_total",
                "Attempts that followed a failed one",
                &["upstream"],
            )?,
            ejections: counters(
                "gibbon_upstream_ejections_total",
                "Ejections of addresses as outliers, by reason",
                &["upstream", "reason"],
            )?,
            health: gauges(
                "gibbon_upstream_target_health",
                "1 for each address of a target, with its state",
                &["upstream", "target", "address", "state"],
            )?,
            requests: counters(
                "gibbon_upstream_requests_total",
                "Attempts to send a request to an address, by outcome",
                &["upstream", "target", "address", "outcome"],
            )?,
            in_flight: gauges(
                "gibbon_upstream_requests_in_flight",
                "Requests that an address is answering",
                &["upstream", "target", "address"],
            )?,
        })
    }

    fn each(&self, mut of: impl FnMut(&dyn Collector)) {
        [&self.targets, &self.unavailable, &self.weight, &self.available_weight]
            .into_iter()
            .chain([&self.health, &self.in_flight])
            .for_each(|family| of(family));
        [&self.retries, &self.ejections, &self.requests].into_iter().for_each(|family| of(family));
    }

    fn fill(&self, groups: &[Arc<Group>]) {
        self.reset();
        let mut left = MOST_ADDRESSES;
        for (index, group) in groups.iter().enumerate() {
            let report = group.balancer().health();
            let name = &group.terms().name;
            self.fill_upstream(if index < MOST_UPSTREAMS { name } else { OTHER }, group, &report);
            self.fill_addresses(name, group, &report, &mut left);
        }
    }

    fn reset(&self) {
        for family in [&self.targets, &self.unavailable, &self.weight, &self.available_weight] {
            family.reset();
        }
        [&self.health, &self.in_flight].into_iter().for_each(IntGaugeVec::reset);
        [&self.retries, &self.ejections, &self.requests].into_iter().for_each(IntCounterVec::reset);
    }

    fn fill_upstream(&self, name: &str, group: &Group, report: &UpstreamReport) {
        let add = |family: &IntGaugeVec, value: u64| family.with_label_values(&[name]).add(value as i64);
        add(&self.targets, group.targets().count() as u64);
        add(&self.unavailable, u64::from(!report.healthy));
        add(&self.weight, report.total_weight);
        add(&self.available_weight, report.available_weight);
        let balancer = group.balancer();
        self.retries.with_label_values(&[name]).inc_by(balancer.retries());
        let ejections = balancer.ejections();
        for (reason, count) in
            [("consecutive", ejections.consecutive), ("success_rate", ejections.success_rate)]
        {
            self.ejections.with_label_values(&[name, reason]).inc_by(count);
        }
    }

    fn fill_addresses(&self, name: &str, group: &Group, report: &UpstreamReport, left: &mut usize) {
        let mut known = HashSet::new();
        for member in &report.members {
            let identity = &member.identity;
            known.insert(identity.target);
            let address = identity.address.to_string();
            let labels = capped(left, [name, &identity.text, &address]);
            self.add_state(labels, state(state_of_address(member, report.checks_on)));
            let attempts = member.slot.attempts;
            for (outcome, count) in [
                ("ok", attempts.ok),
                ("5xx", attempts.server_error),
                ("connect", attempts.connect),
                ("timeout", attempts.timeout),
            ] {
                self.requests.with_label_values(&with(labels, outcome)).inc_by(count);
            }
            self.in_flight.with_label_values(&labels).add(member.slot.in_flight.into());
        }
        for (target, _) in group.targets().filter(|(target, _)| !known.contains(&target.terms.id)) {
            self.add_state(capped(left, [name, &target.terms.text, ""]), "dns_error");
        }
    }

    fn add_state(&self, labels: Labels<'_>, state: &str) {
        self.health.with_label_values(&with(labels, state)).inc();
    }
}

/// The labels, or those of all others when no place is left.
fn capped<'l>(left: &mut usize, labels: Labels<'l>) -> Labels<'l> {
    match left.checked_sub(1) {
        Some(less) => {
            *left = less;
            labels
        }
        None => [OTHER; 3],
    }
}

fn with<'l>([upstream, target, address]: Labels<'l>, last: &'l str) -> [&'l str; 4] {
    [upstream, target, address, last]
}

/// Kong's words, and two more.
const fn state(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Ejected => "ejected",
        Health::Unchecked => "healthchecks_off",
        Health::Unknown => "unknown",
    }
}

/// The histograms: the library has none that can be filled with counts.
fn latencies(groups: &[Arc<Group>]) -> MetricFamily {
    let counts = |group: &Arc<Group>| group.balancer().latencies();
    let own = groups.iter().take(MOST_HISTOGRAMS);
    let mut metrics: Vec<_> = own.map(|group| histogram(&group.terms().name, &counts(group))).collect();
    let others = groups.iter().skip(MOST_HISTOGRAMS).map(counts).reduce(sum);
    metrics.extend(others.map(|others| histogram(OTHER, &others)));
    let mut family = MetricFamily::default();
    family.set_name(LATENCY.to_owned());
    family.set_help(LATENCY_HELP.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(metrics);
    family
}

fn sum(mut one: LatencyCounts, other: LatencyCounts) -> LatencyCounts {
    for (bucket, (_, count)) in one.buckets.iter_mut().zip(other.buckets) {
        bucket.1 += count;
    }
    LatencyCounts { count: one.count + other.count, sum: one.sum + other.sum, ..one }
}

fn histogram(upstream: &str, counts: &LatencyCounts) -> Metric {
    let bucket = |(bound, count): &(f64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(*count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(counts.buckets.iter().map(bucket).collect());
    histogram.set_sample_count(counts.count);
    histogram.set_sample_sum(counts.sum);
    let mut label = LabelPair::default();
    label.set_name("upstream".to_owned());
    label.set_value(upstream.to_owned());
    let mut metric = Metric::from_label(vec![label]);
    metric.set_histogram(histogram);
    metric
}

#[cfg(test)]
mod tests;
