//! Forwards one request: chooses an address, makes attempts, and passes messages both ways. Written from RFC
//! 9110, 9112 and 9113.

mod answer_fields;
mod balanced;
mod connect;
mod edited;
mod exchange;
mod fields;
mod head;
mod nominated;
mod pump;
mod replay;
mod taps;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use self::exchange::{Attempt, Outcome};
pub(crate) use self::head::asked_target;
use self::replay::Replay;
use crate::client::Incoming;
use crate::context::Context;
use crate::dns::Names;
use crate::draining::Draining;
use crate::error::RequestFailure;
use crate::metrics::HttpMetrics;
use crate::plugin::Shared;
use crate::request::Trusted;
use crate::upstream::{Policy, Pool, UpstreamFailure};

/// Why a request was not forwarded to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The failure, for the client and the metrics.
    pub(crate) reason: RequestFailure,
    /// The cause, for the log.
    pub(crate) cause: Option<UpstreamFailure>,
}

impl From<RequestFailure> for Failure {
    fn from(reason: RequestFailure) -> Self {
        Self { reason, cause: None }
    }
}

impl From<UpstreamFailure> for Failure {
    fn from(cause: UpstreamFailure) -> Self {
        Self { reason: RequestFailure::from(&cause), cause: Some(cause) }
    }
}

/// Forwards requests.
#[derive(Debug)]
pub struct Forwarder {
    /// The names of upstreams.
    pub names: Arc<Names>,
    /// The policy on upstream addresses.
    pub policy: Arc<Policy>,
    /// The connections to upstreams.
    pub pool: Arc<Pool>,
    /// How long a request waits for the first look-up of a name.
    pub resolve_timeout: Duration,
    /// Metrics of requests.
    pub metrics: HttpMetrics,
    /// Peers whose `X-Forwarded-` headers are taken.
    pub trusted: Trusted,
    /// Whether the program is stopping.
    pub draining: Draining,
    /// What plugins share.
    pub shared: Arc<Shared>,
}

impl Forwarder {
    /// Forwards the request, and its answer, to their ends.
    ///
    /// # Errors
    /// The failure of the last attempt. If the header of an answer has been sent by then, the client must be
    /// cut off: a part of an answer must never look whole.
    pub(crate) async fn forward(
        &self,
        incoming: &mut Incoming,
        context: &mut Context,
    ) -> Result<(), Failure> {
        let mut replay = Replay::default();
        loop {
            let failed = match connect::connect(self, incoming, context).await {
                Ok(upstream) => {
                    let attempt =
                        Attempt { forwarder: self, incoming, context, upstream, replay: &mut replay };
                    match attempt.run().await? {
                        Outcome::Complete => return Ok(()),
                        Outcome::Retry(failed) => failed,
                    }
                }
                Err(failed) => {
                    note_failure(context, &failed);
                    if !may_connect_again(context, &failed) {
                        return Err(failed);
                    }
                    failed
                }
            };
            let (request_id, reason) = (context.request_id.as_str(), failed.reason.answer().reason);
            debug!(request_id, reason, "another attempt follows");
        }
    }
}

/// Notes that an attempt failed, with the status that the client would get for that.
fn note_failure(context: &mut Context, failed: &Failure) {
    if let Some(notes) = &mut context.notes {
        let code = (failed.reason != RequestFailure::ClientClosed).then(|| failed.reason.answer().status);
        notes.end_try(code, true);
    }
}

/// Whether another attempt follows one that has not connected. Nothing was sent, so nothing can have had an effect.
fn may_connect_again(context: &mut Context, failed: &Failure) -> bool {
    let Some(cause) = &failed.cause else { return false };
    match context.upstream.balanced {
        Some(_) => balanced::may_retry(context, cause, true, false),
        None => context.may_retry(),
    }
}
