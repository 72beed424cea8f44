//! What an operator sees of an upstream.

use std::sync::Arc;

use super::Balancer;
use super::availability::Mode;
use super::member::{Identity, State};
use super::slot::SlotReport;

/// What an operator sees of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamReport {
    /// Whether any check is configured; otherwise health is reported as off.
    pub checks_on: bool,
    /// Whether the upstream serves.
    pub healthy: bool,
    /// Sum of the weights of its regular members.
    pub total_weight: u64,
    /// Sum of the weights of those that are available.
    pub available_weight: u64,
    /// Its members.
    pub members: Vec<MemberReport>,
}

/// What an operator sees of a member.
#[derive(Clone, Debug)]
pub struct MemberReport {
    /// Which address of which target it is.
    pub identity: Identity,
    /// Its weight.
    pub weight: u32,
    /// Whether it serves only while no regular member is available.
    pub failover: bool,
    /// The operator's state.
    pub state: State,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Whether its health lets it serve, and no ejection forbids it.
    pub available: bool,
    /// Its slot's state.
    pub slot: SlotReport,
}

impl Balancer {
    /// Reports the health of the upstream and of all members.
    pub fn health(&self) -> UpstreamReport {
        let view = self.view();
        let (regular, _) = view.availability.sums();
        let mode = view.availability.mode();
        let members = view.members.iter().zip(&view.slots).map(|(member, slot)| {
            let report = slot.report();
            MemberReport {
                identity: member.identity.clone(),
                weight: member.weight,
                failover: member.failover,
                state: member.state.at(tokio::time::Instant::now()),
                zone: member.zone.clone(),
                available: report.health.is_serving() && !report.ejected,
                slot: report,
            }
        });
        UpstreamReport {
            checks_on: self.settings().checks.on,
            healthy: !matches!(mode, Mode::BelowThreshold | Mode::Unhealthy | Mode::Empty),
            total_weight: regular.weight,
            available_weight: regular.available_weight,
            members: members.collect(),
        }
    }
}
