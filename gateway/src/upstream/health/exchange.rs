//! Runs one probe.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::timeout;

use super::line::Line;
use super::plan::{Job, Memory};
use super::probe::{Check, ProbeLimits, ProbeOutcome};
use super::{grpc, http, tcp};
use crate::upstream::{AnswerLimits, Pool, PoolLimits};

/// What the header of an answer may be. A probe's answer is small.
const ANSWERS: AnswerLimits = AnswerLimits { header_bytes: 64 * 1024, header_fields: 200 };
/// Idle connections of one address that are kept: those of probes that differ in more than their connections.
const IDLE_OF_UPSTREAM: usize = 8;
/// Every so many probes one ends its connection of HTTP/1, so that a server that accepts no more is found.
const USES: u32 = 100;

/// Runs probes. Replaced in tests of the prober.
pub(super) trait Execute: Send + Sync + 'static {
    /// Runs a probe to its end.
    fn execute(&self, job: &Job, memory: &Memory) -> impl Future<Output = ProbeOutcome> + Send;
}

/// Runs probes over real connections.
#[derive(Debug)]
pub(super) struct Exchange {
    pool: Arc<Pool>,
}

impl Exchange {
    /// Creates a runner without connections.
    pub(super) fn new(limits: ProbeLimits) -> Self {
        let limits = PoolLimits { idle: limits.idle, idle_of_upstream: IDLE_OF_UPSTREAM };
        Self { pool: Arc::new(Pool::new(limits, ANSWERS)) }
    }
}

impl Execute for Exchange {
    async fn execute(&self, job: &Job, memory: &Memory) -> ProbeOutcome {
        let Job { probe, allowed } = job;
        if !allowed {
            return ProbeOutcome::TcpFailure(
                "the address is not allowed (upstream.deny, upstream.allow)".into(),
            );
        }
        let uses = memory.runs.fetch_add(1, Ordering::Relaxed);
        let line = Line { pool: &self.pool, probe, is_last_use: uses % USES == USES - 1 };
        let run = async {
            match &probe.check {
                Check::Tcp => tcp::probe(probe.address).await,
                Check::Http(check) => http::probe(line, check, memory).await,
                Check::Grpc(check) => grpc::probe(line, check).await,
            }
        };
        timeout(probe.limit(), run).await.unwrap_or(ProbeOutcome::Timeout)
    }
}
