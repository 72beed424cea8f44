//! Runs one probe.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::plan::{Job, Memory};
use super::probe::{Check, Probe, ProbeLimits, ProbeOutcome};
use super::{grpc, http, tcp};
use crate::upstream::{AnswerLimits, Pool, PoolLimits, Response, Terms, Timeouts, Upstream, UpstreamFailure};

/// What the header of an answer may be. A probe's answer is small.
const ANSWERS: AnswerLimits = AnswerLimits { header_bytes: 64 * 1024, header_fields: 200 };
/// Idle connections of one address that are kept: those of probes that differ in more than their connections.
const IDLE_OF_UPSTREAM: usize = 8;
/// The timeout in place of zero: that of nginx, and so of Kong.
const UNLIMITED: Duration = Duration::from_secs(60);
/// Connections that have been used before and may turn out to have ended, before a probe makes a new one.
const MOST_STALE: usize = IDLE_OF_UPSTREAM + 1;
/// Every so many probes one ends its connection, so that a server that accepts no more is found.
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

/// The connections that a probe may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'e> {
    pool: &'e Arc<Pool>,
    probe: &'e Probe,
    /// Whether the connection is to end after this probe.
    pub(super) is_last_use: bool,
}

/// What one exchange is about.
pub(super) trait Exchanged {
    /// Its result.
    type Answer;
    /// Begins the request.
    fn begin(&self, upstream: &mut Upstream, line: Line<'_>) -> Result<(), UpstreamFailure>;
    /// Reads what is of interest behind the header.
    fn end(
        &self,
        upstream: Upstream,
        response: Response,
    ) -> impl Future<Output = Result<Self::Answer, UpstreamFailure>> + Send;
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
        timeout(limit(probe), run).await.unwrap_or(ProbeOutcome::Timeout)
    }
}

impl Line<'_> {
    /// Sends a request and reads its answer. A connection of an earlier probe may have ended meanwhile: then
    /// another one is used.
    pub(super) async fn exchange<E: Exchanged + Sync>(
        self,
        terms: &Arc<Terms>,
        exchanged: &E,
    ) -> Result<E::Answer, UpstreamFailure> {
        let mut stale = 0;
        loop {
            let mut upstream = self.connect(terms).await?;
            let may_be_stale = upstream.was_reused() && stale < MOST_STALE;
            exchanged.begin(&mut upstream, self)?;
            match response(&mut upstream).await {
                Ok(response) => return exchanged.end(upstream, response).await,
                Err(failure) if may_be_stale && (failure.is_silent_end() || failure.is_harmless()) => {
                    stale += 1
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn connect(self, terms: &Arc<Terms>) -> Result<Upstream, UpstreamFailure> {
        let limit = limit(self.probe);
        let timeouts = Timeouts { connect: limit, read: limit, write: limit };
        self.pool.connect(terms, &[self.probe.address], timeouts).await
    }
}

/// The time for all of a probe.
fn limit(probe: &Probe) -> Duration {
    if probe.timeout.is_zero() { UNLIMITED } else { probe.timeout }
}

/// Writes the request and reads the header of the final answer.
async fn response(upstream: &mut Upstream) -> Result<Response, UpstreamFailure> {
    poll_fn(|context| {
        if let Poll::Ready(flushed) = upstream.poll_flush(context) {
            flushed?;
        }
        loop {
            let response = ready!(upstream.poll_response(context))?;
            if !response.is_interim() {
                return Poll::Ready(Ok(response));
            }
        }
    })
    .await
}

/// Reads the next part of an answer's body; `None` behind its end.
pub(super) async fn part(upstream: &mut Upstream) -> Result<Option<Bytes>, UpstreamFailure> {
    poll_fn(|context| upstream.poll_body(context)).await
}
