//! A member of an upstream: one address of one target, as the configuration and DNS have it.

use std::hash::{BuildHasher, Hash};
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::quality::FixedState;
use tokio::time::Instant;
use uuid::Uuid;

use super::machine::Health;

/// One address of a target.
#[derive(Clone, Debug)]
pub struct Member {
    /// Which address of which target.
    pub identity: Identity,
    /// Share of the traffic, relative to the others. Zero: none.
    pub weight: u32,
    /// Whether it serves only while no regular member is available.
    pub failover: bool,
    /// The operator's state of the target.
    pub state: State,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// The operator's last word on its health. It is applied once to each address.
    pub operation: Option<Operation>,
}

/// Which address of which target. Members of equal identity share their state, whatever configuration they
/// come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The target's id.
    pub target: Uuid,
    /// The target as it is configured, with its port.
    pub text: Arc<str>,
    /// The target's host, without port.
    pub host: Arc<str>,
    /// The address.
    pub address: SocketAddr,
    /// The name that an SRV record gave for the address.
    pub server_name: Option<Arc<str>>,
}

/// The operator's state of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Serves.
    #[default]
    Ready,
    /// Gets no new request or key. Sticky sessions may enter, and it is still checked.
    Drain {
        /// When it is ready again; `None` is never.
        until: Option<Instant>,
    },
    /// Gets nothing, and is not checked.
    Maint {
        /// When it is ready again; `None` is never.
        until: Option<Instant>,
    },
}

/// An operator's word on the health of an address.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The health to set.
    pub health: Health,
    /// When it was set, in milliseconds since 1970. An older operation than the last one is ignored.
    pub set_at: u64,
    /// Until when nothing else changes the health; `None`: the next event may.
    pub until: Option<Instant>,
}

impl Member {
    /// Whether it differs in nothing that a view or a slot would take from it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let set_at = |member: &Self| member.operation.map(|operation| operation.set_at);
        self.identity == other.identity
            && (self.weight, self.failover, self.state, &self.zone)
                == (other.weight, other.failover, other.state, &other.zone)
            && set_at(self) == set_at(other)
    }

    /// Whether the algorithms may choose it at `now`, if it is available.
    pub(super) fn is_eligible(&self, now: Instant) -> bool {
        self.weight > 0 && self.state.at(now) == State::Ready
    }
}

impl Identity {
    /// Returns a number of the target's text and the address that is the same on all data planes, in all
    /// releases. Neither the target's id nor its place among the others counts.
    pub(super) fn number(&self) -> u64 {
        let name = self.server_name.as_deref().unwrap_or_default();
        FixedState::with_seed(0).hash_one((self.text.as_bytes(), self.address.to_string(), name))
    }
}

impl State {
    /// Returns the state at `now`.
    pub fn at(self, now: Instant) -> Self {
        match self.until() {
            Some(until) if until <= now => Self::Ready,
            _ => self,
        }
    }

    /// When it ends by itself.
    pub(super) fn until(self) -> Option<Instant> {
        match self {
            Self::Ready => None,
            Self::Drain { until } | Self::Maint { until } => until,
        }
    }
}
