//! The answer: the health of targets, and of an upstream, in Kong's shape.

use std::collections::BTreeMap;

use model::{AdminState, Map, Times, Upstream, Word};
use serde_json::{Value, json};
use uuid::Uuid;
use wire::{AddressHealth, Health};

use super::merged::{Merged, Seen, ip, serves};
use super::{Stored, is_available};
use crate::cluster::Finding;

/// A target to show.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) stored: Stored,
    pub(super) merged: Merged,
    pub(super) seen: Vec<Seen>,
}

/// Weight of addresses.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    total: u64,
    available: u64,
}

impl Shown {
    /// Completes the view of the target; `detail` adds every data plane.
    pub(super) fn into_view(self, mut view: Map, detail: bool) -> Map {
        let Merged { finding, since, last_error, .. } = &self.merged;
        let addresses = self.merged.addresses.iter().map(|address| {
            let AddressHealth { port, weight, health, .. } = address;
            json!({ "ip": ip(address.address), "port": port, "weight": weight, "health": word_of(*health) })
        });
        view.insert("health".to_owned(), word(*finding).into());
        view.insert("data".to_owned(), self.host(addresses.collect()));
        view.insert("state".to_owned(), self.stored.state.as_str().into());
        view.insert("since".to_owned(), time(*since));
        view.insert("last_error".to_owned(), json!(last_error));
        view.insert("data_planes".to_owned(), self.data_planes());
        if detail {
            view.insert("details".to_owned(), self.seen.iter().map(detail_of).collect());
        }
        view
    }

    fn data_planes(&self) -> Value {
        let count = |finding| self.merged.count(finding);
        json!({
            "reporting": self.seen.len(),
            "healthy": count(Finding::Healthy),
            "unhealthy": count(Finding::Unhealthy),
            "dns_error": count(Finding::DnsError),
            "unchecked": count(Finding::Unchecked),
            "unknown": count(Finding::Unknown),
        })
    }

    /// Kong's view of a target's addresses.
    fn host(&self, addresses: Vec<Value>) -> Value {
        let target = &self.stored.target;
        let (host, port) = target.target.rsplit_once(':').unwrap_or((&target.target, ""));
        json!({
            "host": host,
            "port": port.parse::<u16>().ok(),
            "dns": self.merged.dns,
            "nodeWeight": target.weight,
            "weight": self.weight(&self.merged.addresses).view(),
            "addresses": addresses,
        })
    }

    /// The weight of addresses. An operator may have taken the target out, whatever its health is.
    fn weight(&self, addresses: &[AddressHealth]) -> Weight {
        let mut weight = Weight::default();
        for address in addresses {
            weight.total += u64::from(address.weight);
            if self.stored.state == AdminState::Ready && serves(address.health) {
                weight.available += u64::from(address.weight);
            }
        }
        weight
    }
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.total += other.total;
        self.available += other.available;
    }

    fn view(self) -> Value {
        json!({
            "total": self.total,
            "available": self.available,
            "unavailable": self.total - self.available,
        })
    }
}

/// Shows an upstream as a whole. It is healthy if it is so on one of the reporting data planes.
pub(super) fn balancer(id: Uuid, upstream: &Upstream, all: &[Shown], reporting: &[Uuid]) -> Value {
    let threshold = upstream.healthchecks.threshold;
    let by_data_plane = weights(all, reporting);
    let is_healthy = |weight: &&Weight| is_available(threshold, weight.available, weight.total);
    let healthy = by_data_plane.values().filter(is_healthy).count();
    let balancer_health = match (by_data_plane.is_empty(), healthy) {
        (true, _) => word(Finding::Unknown),
        (false, 0) => word(Finding::Unhealthy),
        (false, _) => word(Finding::Healthy),
    };
    let health = if upstream.checks_on() { balancer_health } else { word(Finding::Unchecked) };
    let mut weight = Weight::default();
    all.iter().for_each(|shown| weight.add(shown.weight(&shown.merged.addresses)));
    let hosts = all.iter().map(|shown| {
        let addresses = shown.merged.addresses.iter().map(|address| {
            let healthy = serves(address.health);
            json!({ "ip": ip(address.address), "port": address.port, "weight": address.weight, "healthy": healthy })
        });
        shown.host(addresses.collect())
    });
    json!({
        "id": id,
        "health": health,
        "balancer_health": balancer_health,
        "data_planes": {
            "reporting": by_data_plane.len(),
            "healthy": healthy,
            "unhealthy": by_data_plane.len() - healthy,
        },
        "details": {
            "healthy": healthy > 0,
            "weight": weight.view(),
            "hosts": hosts.collect::<Vec<_>>(),
        },
    })
}

/// The weight of all targets on each data plane.
fn weights(all: &[Shown], reporting: &[Uuid]) -> BTreeMap<Uuid, Weight> {
    let mut weights: BTreeMap<Uuid, Weight> = reporting.iter().map(|id| (*id, Weight::default())).collect();
    for (shown, seen) in all.iter().flat_map(|shown| shown.seen.iter().map(move |seen| (shown, seen))) {
        let addresses = seen.entry.as_ref().map_or(&[][..], |entry| &entry.addresses);
        weights.entry(seen.node_id).or_default().add(shown.weight(addresses));
    }
    weights
}

fn detail_of(seen: &Seen) -> Value {
    let addresses = seen.entry.iter().flat_map(|entry| &entry.addresses).map(|address| {
        json!({
            "ip": ip(address.address),
            "port": address.port,
            "weight": address.weight,
            "health": word_of(address.health),
            "ejected": address.health == Health::Ejected,
            "since": time(Some(address.since).filter(|since| *since > 0)),
            "last_error": address.last_error,
        })
    });
    json!({
        "data_plane": seen.node_id,
        "health": word(seen.finding),
        "dns": seen.dns(),
        "since": time(seen.since()),
        "last_error": seen.last_error(),
        "addresses": addresses.collect::<Vec<_>>(),
    })
}

/// A time in milliseconds since 1970, as the times of targets are shown.
fn time(milliseconds: Option<u64>) -> Value {
    let shown = milliseconds.and_then(|time| i64::try_from(time).ok());
    shown.map_or(Value::Null, |time| Times::Milliseconds.show(time))
}

/// Kong's word for a finding, and one of our own.
const fn word(finding: Finding) -> &'static str {
    match finding {
        Finding::Healthy => "HEALTHY",
        Finding::Unhealthy => "UNHEALTHY",
        Finding::DnsError => "DNS_ERROR",
        Finding::Unchecked => "HEALTHCHECKS_OFF",
        Finding::Unknown => "UNKNOWN",
    }
}

const fn word_of(health: Health) -> &'static str {
    match health {
        Health::Healthy => word(Finding::Healthy),
        Health::Unhealthy | Health::Ejected => word(Finding::Unhealthy),
        Health::Unchecked => word(Finding::Unchecked),
        Health::Unknown => word(Finding::Unknown),
    }
}
