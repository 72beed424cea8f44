//! What the tests of this folder share.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;

use super::answer::{AnswerLimits, Response};
use super::exchange::Upstream;
use super::failure::UpstreamFailure;
use super::timeouts::Timeouts;

pub(super) const LIMITS: AnswerLimits = AnswerLimits { header_bytes: 4000, header_fields: 100 };
pub(super) const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(60),
    write: Duration::from_secs(30),
};

/// Reads the header of the next answer, and writes what is queued meanwhile.
pub(super) async fn response(upstream: &mut Upstream) -> Result<Response, UpstreamFailure> {
    poll_fn(|context| {
        if let std::task::Poll::Ready(Err(failure)) = upstream.poll_flush(context) {
            return std::task::Poll::Ready(Err(failure));
        }
        upstream.poll_response(context)
    })
    .await
}

/// Reads the body of the answer.
pub(super) async fn body(upstream: &mut Upstream) -> Result<Vec<u8>, UpstreamFailure> {
    let mut all = Vec::new();
    while let Some(part) = part(upstream).await? {
        all.extend_from_slice(&part);
    }
    Ok(all)
}

/// Reads the next part of the answer's body.
pub(super) async fn part(upstream: &mut Upstream) -> Result<Option<Bytes>, UpstreamFailure> {
    poll_fn(|context| upstream.poll_body(context)).await
}

/// Writes what is queued.
pub(super) async fn flush(upstream: &mut Upstream) -> Result<(), UpstreamFailure> {
    poll_fn(|context| upstream.poll_flush(context)).await
}
