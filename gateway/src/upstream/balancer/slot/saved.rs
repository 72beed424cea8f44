//! The state of a slot for another process, which takes over after an upgrade of the program.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Inner, Pin, SlotState};
use crate::upstream::balancer::ejection::Ejections;
use crate::upstream::balancer::machine::{Health, Machine};
use crate::upstream::balancer::member::Identity;

/// The longest time that is taken over: a year.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The state of an address. Times are relative, so that the clocks of two processes need not agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedSlot {
    /// Id of the upstream.
    pub upstream: Uuid,
    /// Id of the target.
    pub target: Uuid,
    /// The target as it is configured.
    pub text: String,
    /// The address.
    pub address: SocketAddr,
    /// The name that an SRV record gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Its health.
    pub health: Health,
    /// An operator's word, and how many milliseconds it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<(Health, u64)>,
    /// How many milliseconds it is ejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected: Option<u64>,
    /// Ejections in a row.
    #[serde(default)]
    pub ejections: u32,
    /// When the last operation was set, in milliseconds since 1970.
    #[serde(default)]
    pub operation: u64,
    /// When it last began or ceased to serve, in milliseconds since 1970.
    pub since: u64,
    /// The last failure that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl SavedSlot {
    /// Whether it is the state of this address.
    pub(in crate::upstream::balancer) fn is_of(&self, identity: &Identity) -> bool {
        self.target == identity.target
            && self.text == *identity.text
            && self.address == identity.address
            && self.server_name.as_deref() == identity.server_name.as_deref()
    }
}

impl SlotState {
    /// Returns its state, if a new slot's would differ.
    pub(in crate::upstream::balancer) fn saved(&self, now: Instant) -> Option<SavedSlot> {
        let inner = self.inner.lock();
        let millis_left = |until: Instant| until.saturating_duration_since(now).as_millis() as u64;
        let health = inner.machine.health();
        let is_plain = matches!(health, Health::Healthy | Health::Unknown)
            && inner.pin.is_none()
            && inner.ejections.times() == 0
            && inner.operation == 0;
        if is_plain {
            return None;
        }
        Some(SavedSlot {
            upstream: self.upstream(),
            target: self.identity.target,
            text: self.identity.text.to_string(),
            address: self.identity.address,
            server_name: self.identity.server_name.as_deref().map(str::to_owned),
            health,
            pinned: inner.pin.map(|pin| (pin.health, millis_left(pin.until))),
            ejected: inner.ejections.until().map(millis_left),
            ejections: inner.ejections.times(),
            operation: inner.operation,
            since: inner.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
            last_error: inner.last_error.as_deref().map(str::to_owned),
        })
    }
}

impl Inner {
    /// Takes over the state of another process.
    pub(super) fn restore(&mut self, saved: SavedSlot, now: Instant) {
        self.machine = Machine::new(saved.health);
        self.pin = saved.pinned.map(|(health, left)| Pin { health, until: now + bounded(left) });
        let left = saved.ejected.map(bounded);
        self.ejections = Ejections::restored(left, saved.ejections, now);
        self.operation = saved.operation;
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(saved.since));
        self.since = since.unwrap_or_else(SystemTime::now);
        self.last_error = saved.last_error.map(Into::into);
    }
}

/// Bounds what another process says, so that no sum overflows.
fn bounded(millis: u64) -> Duration {
    Duration::from_millis(millis).min(LONGEST)
}
