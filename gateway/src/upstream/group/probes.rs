//! The probes of a group's members.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;
use tracing::warn;

use super::terms::{GroupTerms, Probing, Speaks};
use crate::upstream::balancer::{Balancer, Member, ProbeOutcome as Heard, Slot, SlotState, State};
use crate::upstream::health::{
    self, Check, GrpcCheck, HttpCheck, Probe, ProbeOutcome, Schedule, WantedProbe,
};
use crate::upstream::{InvalidName, Protocol, Terms, UpstreamTls};

/// The probes of the members that are checked: not those without weight, and not those in maintenance.
pub(super) fn of(probing: &Probing, group: &GroupTerms, balancer: &Balancer) -> Vec<WantedProbe> {
    let trust = match &group.shown {
        Some(keys) => Arc::new(UpstreamTls::common(probing.verify).showing(keys)),
        None => UpstreamTls::common(probing.verify),
    };
    let checked =
        |(member, _): &(Member, Arc<Slot>)| member.weight > 0 && !matches!(member.state, State::Maint { .. });
    let wanted = |(member, slot): (Member, Arc<Slot>)| {
        let wanted = probe(probing, group, &trust, &member);
        match wanted {
            Ok(probe) => {
                Some(WantedProbe { probe, schedule: schedule(probing), name: name(&member), heard: slot })
            }
            Err(InvalidName) => {
                let (upstream, target) = (&group.name, &member.identity.text);
                warn!(%upstream, %target, "the target is not probed: no certificate can have its name");
                None
            }
        }
    };
    balancer.members().into_iter().filter(checked).filter_map(wanted).collect()
}

fn probe(
    probing: &Probing,
    group: &GroupTerms,
    trust: &UpstreamTls,
    member: &Member,
) -> Result<Probe, InvalidName> {
    let identity = &member.identity;
    let port = probing.port.unwrap_or(identity.address.port());
    let of_requests = group.host_header.as_deref();
    let host = probing.host.as_deref().or(of_requests).unwrap_or(&identity.host);
    let terms = |protocol| {
        if !probing.tls {
            return Ok(Terms::plain(protocol));
        }
        let name = health::server_name(
            probing.sni.as_deref(),
            probing.host.as_deref().or(of_requests),
            &identity.host,
        );
        Terms::tls(protocol, &name, trust).map(Arc::new)
    };
    let host = HeaderValue::try_from(bracketed(host)).map_err(|_| InvalidName)?;
    let check = match &probing.speaks {
        Speaks::Tcp => Check::Tcp,
        Speaks::Http { version, method, path } => Check::Http(HttpCheck {
            terms: terms(if *version == http::Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 })?,
            version: *version,
            method: method.clone(),
            path: path.clone(),
            host,
            fields: probing.fields.clone(),
        }),
        Speaks::Grpc { service } => Check::Grpc(GrpcCheck {
            terms: terms(Protocol::Http2)?,
            host,
            service: service.clone(),
            fields: probing.fields.clone(),
        }),
    };
    Ok(Probe { address: SocketAddr::new(identity.address.ip(), port), check, timeout: probing.timeout })
}

fn schedule(probing: &Probing) -> Schedule {
    Schedule { healthy: probing.healthy, unhealthy: probing.unhealthy, jitter: probing.jitter }
}

/// The target's name, for the policy on addresses.
fn name(member: &Member) -> Option<Arc<str>> {
    let host = &member.identity.host;
    host.parse::<std::net::IpAddr>().is_err().then(|| host.clone())
}

/// An address of IPv6 stands in brackets in a `Host` field.
fn bracketed(host: &str) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

impl health::Heard for Slot {
    fn is_healthy(&self) -> bool {
        SlotState::is_healthy(self)
    }

    fn result(&self, outcome: &ProbeOutcome) {
        let heard = match outcome {
            ProbeOutcome::Success => Heard::Success,
            ProbeOutcome::Status(status) => Heard::Status(*status),
            ProbeOutcome::HttpFailure(reason) => Heard::Failure { reason },
            ProbeOutcome::TcpFailure(reason) => Heard::TcpFailure { reason },
            ProbeOutcome::Timeout => Heard::Timeout,
        };
        self.probe_result(&heard, Instant::now());
    }
}
