//! What plugins share between requests, and what outlives every configuration.

use std::sync::Arc;

use super::auth::AuthState;
use crate::outbound::Outbound;

/// What plugins share between requests. A push of a configuration resets nothing of it.
#[derive(Debug)]
pub struct Shared {
    outbound: Arc<Outbound>,
    /// What authentication keeps.
    pub(super) auth: AuthState,
}

impl Shared {
    /// Creates it without a request having come yet.
    pub fn new(outbound: Arc<Outbound>) -> Self {
        Self { outbound, auth: AuthState::default() }
    }

    /// Makes the calls of plugins.
    pub fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }
}
