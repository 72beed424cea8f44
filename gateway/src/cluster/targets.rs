//! The health of targets, from the balancers to the connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;
use wire::{AddressHealth, Health, RecordType, TargetHealth};

use super::health::HealthSource;
use crate::dns::Answer;
use crate::upstream::balancer::{self, MemberReport};
use crate::upstream::{Balancing, Group, GroupTarget, Host, TargetTerms};

/// How long a target that has failed is reported by itself after it is healthy again.
const RECOVERED: Duration = Duration::from_secs(3600);

/// The health of the targets of all live groups.
#[derive(Debug)]
pub struct TargetReports {
    balancing: Arc<Balancing>,
    /// Targets that have changed and are not yet reported, with their upstreams.
    waiting: Mutex<HashMap<Uuid, Uuid>>,
}

impl TargetReports {
    /// Reports on the groups of `balancing`.
    pub fn new(balancing: Arc<Balancing>) -> Self {
        Self { balancing, waiting: Mutex::default() }
    }
}

impl HealthSource for TargetReports {
    fn targets(&self) -> usize {
        self.balancing.live().iter().map(|group| group.targets().count()).sum()
    }

    fn full(&self) -> Vec<TargetHealth> {
        self.waiting.lock().clear();
        self.balancing.take_changed_targets();
        let groups = self.balancing.live();
        groups.iter().flat_map(|group| reports(group, |_| true)).filter(|report| !report.is_plain()).collect()
    }

    fn take_changes(&self, most: usize) -> Vec<TargetHealth> {
        let mut waiting = self.waiting.lock();
        waiting.extend(self.balancing.take_changed_targets());
        let taken: Vec<_> =
            waiting.iter().take(most).map(|(target, upstream)| (*target, *upstream)).collect();
        let mut by_upstream: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for (target, upstream) in taken {
            waiting.remove(&target);
            by_upstream.entry(upstream).or_default().push(target);
        }
        if !waiting.is_empty() {
            self.changed().notify_one();
        }
        drop(waiting);
        let groups = by_upstream
            .iter()
            .filter_map(|(upstream, targets)| Some((self.balancing.live_group(upstream)?, targets)));
        groups.flat_map(|(group, targets)| reports(&group, |target| targets.contains(target))).collect()
    }

    fn changed(&self) -> &Notify {
        self.balancing.targets_changed()
    }
}

/// What is known of all targets of a group, in the order of the group.
pub fn health_of_targets(group: &Group) -> Vec<TargetHealth> {
    seen(group, |_| true).map(|(_, health)| health).collect()
}

/// The state of an address.
pub fn state_of_address(member: &MemberReport, checks_on: bool) -> Health {
    use balancer::Health as H;
    match member.slot.health {
        _ if member.slot.ejected => Health::Ejected,
        H::MostlyUnhealthy | H::Unhealthy => Health::Unhealthy,
        _ if !checks_on || member.weight == 0 => Health::Unchecked,
        H::Unknown => Health::Unknown,
        H::Healthy | H::MostlyHealthy => Health::Healthy,
    }
}

/// The reports of the wanted targets of a group.
fn reports(group: &Group, wanted: impl Fn(&Uuid) -> bool) -> Vec<TargetHealth> {
    let short = |(target, health): (&GroupTarget, TargetHealth)| match is_plain(&target.terms, &health) {
        true => TargetHealth::plain(health.target),
        false => health,
    };
    seen(group, wanted).map(short).collect()
}

/// What is known of the wanted targets of a group.
fn seen(group: &Group, wanted: impl Fn(&Uuid) -> bool) -> impl Iterator<Item = (&GroupTarget, TargetHealth)> {
    let mut addresses: HashMap<Uuid, Vec<AddressHealth>> = HashMap::new();
    let report = group.balancer().health();
    for member in report.members.iter().filter(|member| wanted(&member.identity.target)) {
        let of_target = addresses.entry(member.identity.target).or_default();
        of_target.push(address_health(member, report.checks_on));
    }
    let targets = group.targets().filter(move |(target, _)| wanted(&target.terms.id));
    targets.map(move |(target, answer)| {
        let addresses = addresses.remove(&target.terms.id).unwrap_or_default();
        (target, target_health(&target.terms, answer.as_deref(), addresses))
    })
}

/// Whether there is nothing to say of a target but that it serves.
fn is_plain(target: &TargetTerms, health: &TargetHealth) -> bool {
    let is_quiet = |address: &AddressHealth| match address.health {
        Health::Unchecked => true,
        Health::Healthy => address.last_error.is_none() || is_long_ago(address.since),
        Health::Unhealthy | Health::Ejected | Health::Unknown => false,
    };
    matches!(target.host, Host::Address(_)) && matches!(&health.addresses[..], [one] if is_quiet(one))
}

fn target_health(
    target: &TargetTerms,
    answer: Option<&Answer>,
    addresses: Vec<AddressHealth>,
) -> TargetHealth {
    let of_address = addresses.first().map(|first| match first.address.is_ipv4() {
        true => RecordType::A,
        false => RecordType::Aaaa,
    });
    let is_srv = answer.is_some_and(|answer| answer.dns() == "SRV");
    TargetHealth {
        target: target.id,
        record_type: if is_srv { RecordType::Srv } else { of_address.unwrap_or_default() },
        dns_error: answer.and_then(|answer| answer.error.as_deref()).map(ToOwned::to_owned),
        addresses,
    }
}

fn address_health(member: &MemberReport, checks_on: bool) -> AddressHealth {
    let slot = &member.slot;
    AddressHealth {
        address: member.identity.address.ip(),
        port: member.identity.address.port(),
        weight: member.weight.try_into().unwrap_or(u16::MAX),
        health: state_of_address(member, checks_on),
        since: milliseconds(slot.since),
        last_error: slot.last_error.as_deref().map(ToOwned::to_owned),
    }
}

fn is_long_ago(since: u64) -> bool {
    milliseconds(SystemTime::now()).saturating_sub(since) > RECOVERED.as_millis() as u64
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
