//! `/upstreams/{upstream}/…`: the targets of an upstream and their health on this data plane, in Kong's shape.
//! A data plane does not know the tags and times of entities, and lists targets in the order of their ids.

mod query;

use std::collections::HashMap;
use std::sync::Arc;

use model::{Target, TargetAddress, Times};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;
use wire::{AddressHealth, Health, TargetHealth};

use self::query::{Listing, decoded};
use crate::cluster;
use crate::upstream::balancer::State;
use crate::upstream::{Balancing, Group, GroupTarget};

/// A target with what is known of it.
struct Seen<'g> {
    target: &'g GroupTarget,
    health: TargetHealth,
}

/// Weight of addresses.
#[derive(Clone, Copy, Default)]
struct Weight {
    total: u64,
    available: u64,
}

/// Answers a path below `/upstreams/`; `None` when there is no such thing.
pub(super) fn answer(balancing: &Balancing, node: Uuid, path: &str, query: &str) -> Option<Value> {
    let mut segments = path.strip_prefix("/upstreams/")?.split('/');
    let group = find(balancing, &decoded(segments.next()?)?)?;
    let rest: Vec<&str> = segments.collect();
    let listing = Listing::parse(query);
    let mut answer = match rest[..] {
        ["health"] if listing.is_of_balancer => balancer(&group),
        ["health"] => listing.page(path, sorted(&group), |seen| seen.health_view(&group)),
        ["targets"] | ["targets", "all"] => {
            return Some(listing.page(path, sorted(&group), |seen| seen.view(&group)));
        }
        ["targets", target] => {
            let wanted = decoded(target)?;
            return sorted(&group).iter().find(|seen| seen.is(&wanted)).map(|seen| seen.view(&group));
        }
        _ => return None,
    };
    answer["node_id"] = json!(node);
    Some(answer)
}

fn find(balancing: &Balancing, wanted: &str) -> Option<Arc<Group>> {
    let by_id = wanted.parse().ok().and_then(|id| balancing.live_group(&id));
    by_id.or_else(|| {
        let name = wanted.to_lowercase();
        balancing.live().into_iter().find(|group| *group.terms().name == *name)
    })
}

/// The targets in the order of their ids.
fn sorted(group: &Group) -> Vec<Seen<'_>> {
    let mut health: HashMap<Uuid, TargetHealth> =
        cluster::health_of_targets(group).into_iter().map(|health| (health.target, health)).collect();
    let mut all: Vec<_> = group
        .targets()
        .filter_map(|(target, _)| Some(Seen { target, health: health.remove(&target.terms.id)? }))
        .collect();
    all.sort_by_key(|seen| seen.target.terms.id);
    all
}

fn balancer(group: &Group) -> Value {
    let report = group.balancer().health();
    let all = sorted(group);
    let mut weight = Weight::default();
    all.iter().for_each(|seen| weight.add(seen.weight()));
    let hosts = all.iter().map(|seen| {
        seen.host(|address| {
            json!({
                "ip": ip(address),
                "port": address.port,
                "weight": address.weight,
                "healthy": serves(address.health),
            })
        })
    });
    let balancer_health = if report.healthy { "HEALTHY" } else { "UNHEALTHY" };
    json!({
        "data": {
            "id": group.id(),
            "health": if report.checks_on { balancer_health } else { "HEALTHCHECKS_OFF" },
            "balancer_health": balancer_health,
            "details": {
                "healthy": report.healthy,
                "weight": weight.view(),
                "hosts": hosts.collect::<Vec<_>>(),
            },
        },
        "next": null,
    })
}

impl Seen<'_> {
    fn is(&self, wanted: &str) -> bool {
        let terms = &self.target.terms;
        wanted.parse() == Ok(terms.id) || *terms.text == *Target::canonical_target(wanted)
    }

    /// The target as it is configured.
    fn view(&self, group: &Group) -> Value {
        let terms = &self.target.terms;
        let mut view = json!({
            "id": terms.id,
            "target": &*terms.text,
            "weight": terms.weight,
            "upstream": { "id": group.id() },
        });
        if terms.failover {
            view["failover"] = json!(true);
        }
        view
    }

    /// The target with its health.
    fn health_view(&self, group: &Group) -> Value {
        let mut view = self.view(group);
        view["health"] = json!(self.word());
        view["state"] = json!(self.state());
        view["data"] = self.host(|address| {
            json!({
                "ip": ip(address),
                "port": address.port,
                "weight": address.weight,
                "health": word_of(address.health),
                "since": Times::Milliseconds.show(i64::try_from(address.since).unwrap_or(i64::MAX)),
                "last_error": address.last_error,
            })
        });
        view
    }

    fn host(&self, address: impl FnMut(&AddressHealth) -> Value) -> Value {
        let (terms, health) = (&self.target.terms, &self.health);
        let error = health.dns_error.as_deref().filter(|_| health.addresses.is_empty());
        json!({
            "host": &*terms.name,
            "port": terms.port,
            "dns": error.unwrap_or(health.record_type.as_str()),
            "nodeWeight": terms.weight,
            "weight": self.weight().view(),
            "addresses": health.addresses.iter().map(address).collect::<Vec<_>>(),
        })
    }

    fn word(&self) -> &'static str {
        let any = |health| self.health.addresses.iter().any(|address| address.health == health);
        match () {
            () if self.health.addresses.is_empty() => "DNS_ERROR",
            () if any(Health::Healthy) => word_of(Health::Healthy),
            () if any(Health::Unhealthy) || any(Health::Ejected) => word_of(Health::Unhealthy),
            () if any(Health::Unknown) => word_of(Health::Unknown),
            () => word_of(Health::Unchecked),
        }
    }

    fn state(&self) -> &'static str {
        match self.target.state.at(Instant::now()) {
            State::Ready => "ready",
            State::Drain { .. } => "drain",
            State::Maint { .. } => "maint",
        }
    }

    /// The weight of the addresses. An operator may have taken the target out, whatever its health is.
    fn weight(&self) -> Weight {
        let is_ready = self.target.state.at(Instant::now()) == State::Ready;
        let mut weight = Weight::default();
        for address in &self.health.addresses {
            weight.total += u64::from(address.weight);
            if is_ready && serves(address.health) {
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

/// The address in the form of the Admin API: IPv6 in brackets, in eight groups.
fn ip(address: &AddressHealth) -> String {
    let text = TargetAddress::Ip(address.address, 0).to_string();
    text.rsplit_once(':').map_or(text.clone(), |(ip, _)| ip.to_owned())
}

const fn serves(health: Health) -> bool {
    matches!(health, Health::Healthy | Health::Unchecked)
}

/// Kong's words, and one of our own.
const fn word_of(health: Health) -> &'static str {
    match health {
        Health::Healthy => "HEALTHY",
        Health::Unhealthy | Health::Ejected => "UNHEALTHY",
        Health::Unchecked => "HEALTHCHECKS_OFF",
        Health::Unknown => "UNKNOWN",
    }
}
