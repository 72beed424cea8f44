//! What plugins share between requests, and what outlives every configuration.

use std::any::Any;
use std::sync::Arc;

use super::reports::Reports;
use super::states::States;
use crate::answer_cache::Store;
use crate::counting::counters::Counters;
use crate::counting::redis::{OutboundDial, Redis};
use crate::kong_metrics::KongMetrics;
use crate::outbound::Outbound;

/// What plugins share between requests. A push of a configuration resets nothing of it.
#[derive(Debug)]
pub struct Shared {
    outbound: Arc<Outbound>,
    states: States,
    /// The counters of this node.
    pub counters: Arc<Counters>,
    /// The servers of counters that nodes share.
    pub redis: Redis,
    /// Where plugins report what became of requests.
    pub reports: Reports,
    /// The answers that are kept.
    pub answers: Arc<Store>,
    /// Requests in Kong's families of metrics.
    pub kong: Arc<KongMetrics>,
}

impl Shared {
    /// Creates it with these counters and answers, before a request has come. Calls and servers are reached by
    /// way of `outbound`.
    pub fn new(
        outbound: Arc<Outbound>,
        counters: Arc<Counters>,
        reports: Reports,
        answers: Arc<Store>,
    ) -> Self {
        let redis = Redis::new(Arc::new(OutboundDial::new(outbound.clone())), counters.clone());
        Self { outbound, states: States::default(), counters, redis, reports, answers, kong: Arc::default() }
    }

    /// What a plugin keeps between requests, in a type of its own. It is made when it is first asked for.
    pub fn state<T: Default + Any + Send + Sync>(&self) -> Arc<T> {
        self.states.get()
    }

    /// Makes the calls of plugins.
    pub fn outbound(&self) -> &Arc<Outbound> {
        &self.outbound
    }
}
