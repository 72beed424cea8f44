//! The members of a group: the addresses that its targets have now, and that the policy allows.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::terms::{GroupTerms, Operation, TargetTerms};
use super::{GroupTarget, Named, Shared};
use crate::upstream::balancer::{self, Health, Identity, Member};
use crate::upstream::{Host, instant_of};

/// The members of `targets`.
pub(super) fn of(terms: &GroupTerms, targets: &[Named], shared: &Shared) -> Vec<Member> {
    let mut members = Vec::with_capacity(targets.len());
    for named in targets {
        let target = &named.target;
        match &target.terms.host {
            Host::Address(address) => {
                let address = SocketAddr::new(*address, target.terms.port);
                members.push(member(target, address, None, target.terms.weight, shared));
            }
            Host::Name(_) => {
                let Some(watched) = &named.watched else { continue };
                for endpoint in watched.current().endpoints.iter() {
                    let address =
                        SocketAddr::new(endpoint.address, endpoint.port.unwrap_or(target.terms.port));
                    let weight = weight(&target.terms, endpoint.weight);
                    let name = endpoint.name.as_deref().map(Into::into);
                    members.push(member(target, address, name, weight, shared));
                }
            }
        }
    }
    // Requests go to no other address, and neither do probes.
    members.retain(|member| {
        let Identity { host, address, .. } = &member.identity;
        let name = host.parse::<std::net::IpAddr>().is_err().then_some(&**host);
        shared.policy.allows(terms.id, name, *address)
    });
    members
}

/// The weight of an SRV record stands for the target's, unless that is 0: it drains whatever DNS says.
fn weight(target: &TargetTerms, of_record: Option<u16>) -> u32 {
    match of_record {
        Some(weight) if target.weight > 0 => u32::from(weight).max(1),
        _ => target.weight,
    }
}

fn member(
    target: &GroupTarget,
    address: SocketAddr,
    server_name: Option<Arc<str>>,
    weight: u32,
    shared: &Shared,
) -> Member {
    let terms = &target.terms;
    let about = |operation: &&Operation| {
        operation.is_about(address, server_name.as_deref())
            && operation.data_plane.is_none_or(|node| shared.is_node(node))
    };
    let newest = target.operations.iter().filter(about).max_by_key(|operation| operation.set_at);
    let operation = newest.map(to_balancer);
    Member {
        identity: Identity {
            target: terms.id,
            text: terms.text.clone(),
            host: terms.name.clone(),
            address,
            server_name,
        },
        weight,
        failover: terms.failover,
        state: target.state,
        zone: terms.zone.clone(),
        operation,
    }
}

fn to_balancer(operation: &Operation) -> balancer::Operation {
    let health = if operation.healthy { Health::Healthy } else { Health::Unhealthy };
    let until = operation.until.map(instant_of).filter(|until| *until > Instant::now());
    balancer::Operation { health, set_at: operation.set_at, until }
}
