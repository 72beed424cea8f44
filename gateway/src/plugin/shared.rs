//! What plugins share between requests, and what outlives every configuration.

use std::sync::Arc;

use super::auth::AuthState;
use crate::counting::counters::Counters;
use crate::counting::redis::{OutboundDial, Redis};
use crate::outbound::Outbound;

/// What plugins share between requests. A push of a configuration resets nothing of it.
#[derive(Debug)]
pub struct Shared {
    outbound: Arc<Outbound>,
    /// What authentication keeps.
    pub(super) auth: AuthState,
    /// The counters of this node.
    pub counters: Arc<Counters>,
    /// The servers of counters that nodes share.
    pub redis: Redis,
}

impl Shared {
    /// Creates it with these counters, before a request has come. Calls and servers are reached by way of
    /// `outbound`.
    pub fn new(outbound: Arc<Outbound>, counters: Arc<Counters>) -> Self {
        let redis = Redis::new(Arc::new(OutboundDial::new(outbound.clone())), counters.clone());
        Self { outbound, auth: AuthState::default(), counters, redis }
    }

    /// Makes the calls of plugins.
    pub fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }
}
