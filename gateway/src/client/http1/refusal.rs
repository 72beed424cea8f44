//! Answers a header that is refused before the proxy sees a request, and counts it.

use std::fmt::Write;
use std::future::poll_fn;

use bytes::BytesMut;
use http::StatusCode;
use pingora::protocols::http::date;
use tracing::debug;

use super::Http1;
use crate::context::Context;
use crate::error::{Body, RequestFailure};
use crate::metrics::Source;

/// A header that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub failure: RequestFailure,
    /// Whether the request would be answered without a body.
    pub is_head: bool,
}

impl Http1 {
    /// Answers and counts `refusal`, and closes the connection.
    pub async fn refuse(mut self: Box<Self>, refusal: Refusal) {
        let answer = refusal.failure.answer();
        debug!(reason = answer.reason, "a request's header cannot be read");
        self.terms.metrics.errors.with_label_values(&[answer.reason]).inc();
        self.terms.metrics.requests.count(answer.status, Source::Gateway);
        self.fail_header(refusal);
        if poll_fn(|context| self.poll_flush(context)).await.is_ok() {
            self.linger().await;
        }
    }

    fn fail_header(&mut self, refusal: Refusal) {
        self.keep = false;
        self.failed = true;
        write(self.connection.head(), refusal);
    }
}

/// Writes the whole answer. Nothing is known about the request, so that its body has the form of the failure.
fn write(out: &mut BytesMut, refusal: Refusal) {
    let (context, answer) = (Context::new(), refusal.failure.answer());
    let body = Body::new(answer.format, answer.message, context.request_id());
    let reason = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    // Writing to a buffer in memory cannot fail.
    write!(
        out,
        "HTTP/1.1 {} {}\r\nServer: gibbon/{}\r\nX-Kong-Response-Latency: 0\r\nX-Kong-Request-Id: {}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\nDate: {}\r\nConnection: close\r\n\r\n{}",
        answer.status,
        reason.unwrap_or_default(),
        crate::VERSION,
        context.request_id(),
        body.content_type,
        body.text.len(),
        date::get_cached_date().to_str().unwrap_or_default(),
        if refusal.is_head { "" } else { &body.text },
    )
    .ok();
}
