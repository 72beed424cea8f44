//! One exchange of a probe: a connection, a request and the header of its answer.

use std::sync::Arc;

use super::probe::Probe;
use crate::upstream::{Pool, Response, Terms, Timeouts, Upstream, UpstreamFailure};

/// Connections of earlier probes that may turn out to have ended, before a probe makes a new one.
const MOST_STALE: usize = 8;

/// The connections that a probe may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'e> {
    pub(super) pool: &'e Arc<Pool>,
    pub(super) probe: &'e Probe,
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
        line: Line<'_>,
    ) -> impl Future<Output = Result<Self::Answer, UpstreamFailure>> + Send;
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
            match upstream.response().await {
                Ok(response) => return exchanged.end(upstream, response, self).await,
                Err(failure) if may_be_stale && (failure.is_silent_end() || failure.is_harmless()) => {
                    stale += 1
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn connect(self, terms: &Arc<Terms>) -> Result<Upstream, UpstreamFailure> {
        let limit = self.probe.limit();
        let timeouts = Timeouts { connect: limit, read: limit, write: limit };
        self.pool.connect(terms, &[self.probe.address], timeouts).await
    }
}
