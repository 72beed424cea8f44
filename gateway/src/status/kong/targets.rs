//! The health of targets: of each address four series, one for each state, of which one is 1.

use prometheus::proto::{Metric, MetricFamily, MetricType};
use wire::Health;

use super::{SUBSYSTEM, TARGETS};
use crate::cluster::state_of_address;
use crate::kong_metrics::{family, gauge};
use crate::upstream::{Balancing, Group};

/// Addresses with series. The gateway's own family counts all others as well.
const MOST_ADDRESSES: usize = 1000;

const STATES: [&str; 4] = ["healthchecks_off", "healthy", "unhealthy", "dns_error"];

/// The family of the live targets.
pub(super) fn family_of(balancing: &Balancing) -> MetricFamily {
    let mut groups = balancing.live();
    // The same addresses have series each time.
    groups.sort_by(|one, other| one.terms().name.cmp(&other.terms().name));
    let metrics = groups.iter().flat_map(|group| states(group)).take(MOST_ADDRESSES);
    let metrics = metrics.flat_map(|address| address.series()).collect();
    family(TARGETS, "Whether an address of a target is in a state", MetricType::GAUGE, metrics)
}

/// An address of a target, and its state.
struct Address {
    upstream: String,
    target: String,
    address: String,
    state: &'static str,
}

impl Address {
    fn series(self) -> impl Iterator<Item = Metric> {
        STATES.into_iter().map(move |state| {
            let labels = [
                ("upstream", self.upstream.as_str()),
                ("target", &self.target),
                ("address", &self.address),
                ("state", state),
                ("subsystem", SUBSYSTEM),
            ];
            gauge(&labels, if state == self.state { 1.0 } else { 0.0 })
        })
    }
}

fn states(group: &Group) -> Vec<Address> {
    let report = group.balancer().health();
    let of = |target: &str, address: String, state| Address {
        upstream: group.terms().name.to_string(),
        target: target.to_owned(),
        address,
        state,
    };
    let members = report.members.iter().map(|member| {
        let identity = &member.identity;
        of(&identity.text, identity.address.to_string(), word(state_of_address(member, report.checks_on)))
    });
    let mut all: Vec<_> = members.collect();
    let is_known = |target| report.members.iter().any(|member| member.identity.target == target);
    let without = group.targets().filter(|(target, _)| !is_known(target.terms.id));
    all.extend(without.map(|(target, _)| of(&target.terms.text, String::new(), "dns_error")));
    all
}

/// Kong's words: it knows neither ejections nor targets that were never checked.
const fn word(health: Health) -> &'static str {
    match health {
        Health::Healthy | Health::Unknown => "healthy",
        Health::Unhealthy | Health::Ejected => "unhealthy",
        Health::Unchecked => "healthchecks_off",
    }
}
