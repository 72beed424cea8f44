//! Keeps what upstreams want to be probed.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::changes::Changes;
use super::exchange::{Exchange, Execute};
use super::plan::{Job, Plan, Wanted};
use super::probe::{ProbeLimits, WantedProbe};
use super::runner::Runner;
use crate::metrics::ProbeMetrics;
use crate::upstream::Policy;

/// What upstreams want to be probed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prober {
    changes: Arc<Changes>,
    policy: Arc<Policy>,
}

/// Runs the probes of a [`Prober`].
#[derive(Debug)]
pub struct ProbeRunner(Runner<Exchange>);

impl Prober {
    /// Creates a prober without probes, and the task that will run them.
    pub fn new(limits: ProbeLimits, policy: Arc<Policy>, metrics: ProbeMetrics) -> (Self, ProbeRunner) {
        let (prober, runner) = Self::with(Exchange::new(limits), limits, policy, metrics);
        (prober, ProbeRunner(runner))
    }

    pub(super) fn with<E: Execute>(
        execute: E,
        limits: ProbeLimits,
        policy: Arc<Policy>,
        metrics: ProbeMetrics,
    ) -> (Self, Runner<E>) {
        let changes = Arc::<Changes>::default();
        let plan = Plan::new(limits.running, rand::random());
        let runner = Runner { changes: Arc::clone(&changes), plan, execute: Arc::new(execute), metrics };
        (Self { changes, policy }, runner)
    }

    /// Replaces the probes of an upstream; at most `concurrency` of them run at a time. A probe that stays keeps
    /// its timing and its connection.
    pub fn set(&self, upstream: Uuid, concurrency: usize, probes: Vec<WantedProbe>) {
        let wanted = probes.into_iter().map(|wanted| {
            let WantedProbe { probe, schedule, name, heard } = wanted;
            let allowed = self.policy.allows(upstream, name.as_deref(), probe.address);
            Wanted { job: Job { probe, allowed }, schedule, heard }
        });
        self.changes.put(upstream, concurrency, wanted.collect());
    }

    /// Ends the probes of an upstream. Results of those that run now are dropped.
    pub fn remove(&self, upstream: Uuid) {
        self.set(upstream, 1, Vec::new());
    }
}

impl ProbeRunner {
    /// Runs probes until `stop`.
    pub async fn run(self, stop: &CancellationToken) {
        self.0.run(stop).await;
    }
}
