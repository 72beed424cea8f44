//! Answers a header that is refused before the proxy sees a request, and counts it.

use std::fmt::Write;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use pingora::protocols::http::date;
use tracing::debug;

use super::Http1;
use crate::client::refused::{self, Refused};
use crate::error::{Body, Format, RequestFailure};
use crate::metrics::Source;
use crate::names::SERVER_VALUE;
use crate::request_id::RequestId;

/// The most bytes of a refused header that are looked at.
const MOST: usize = 64 * 1024;

/// A header that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub failure: RequestFailure,
    /// The header, if it is complete.
    pub head: Bytes,
}

impl Http1 {
    /// Answers and counts `refusal`, lets `note` see it, and closes the connection.
    pub async fn refuse(mut self: Box<Self>, refusal: Refusal, note: impl Fn(&Refused<'_>)) {
        let answer = refusal.failure.answer();
        debug!(reason = answer.reason, "a request's header cannot be read");
        self.terms.metrics.errors.with_label_values(&[answer.reason]).inc();
        self.terms.metrics.requests.count(answer.status, Source::Gateway);
        (self.keep, self.failed) = (false, true);
        if refusal.head.is_empty() {
            poll_fn(|context| self.poll_rest(context)).await;
        }
        let head = if refusal.head.is_empty() { self.connection.buffered() } else { &refusal.head };
        let id = RequestId::random();
        let (text, answer_bytes) = answer_to(refusal.failure, head, &id);
        let request = refused::shown(head);
        note(&Refused { id: &id, request, status: answer.status, reason: answer.reason, answer_bytes });
        self.connection.head().extend_from_slice(&text);
        if poll_fn(|context| self.poll_flush(context)).await.is_ok() {
            self.linger().await;
        }
    }

    /// Reads what is there of the header already: it may say in which form it wants to be answered.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.connection.buffered().len() < MOST {
            if !matches!(self.connection.poll_fill(context), Poll::Ready(Ok(1..))) {
                break;
            }
        }
        Poll::Ready(())
    }
}

/// The whole answer to the header `head`, which may be incomplete, and the length of its body.
fn answer_to(failure: RequestFailure, head: &[u8], id: &RequestId) -> (BytesMut, u64) {
    let answer = failure.answer();
    let format = Format::negotiate(&wishes(head), answer.format);
    let body = Body::new(format, answer.message, id.as_str());
    let sent = if head.starts_with(b"HEAD ") { "" } else { &*body.text };
    let mut text = BytesMut::new();
    // Writing to a buffer in memory cannot fail.
    write!(
        text,
        "HTTP/1.1 {} {}\r\nServer: {}\r\nX-Kong-Response-Latency: 0\r\nX-Kong-Request-Id: {}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\nDate: {}\r\nConnection: close\r\n\r\n{}",
        answer.status,
        answer.code().canonical_reason().unwrap_or_default(),
        SERVER_VALUE,
        id.as_str(),
        body.content_type,
        body.text.len(),
        date::get_cached_date().to_str().unwrap_or_default(),
        sent,
    )
    .ok();
    (text, sent.len() as u64)
}

/// The fields that say in which form an answer is wanted.
fn wishes(head: &[u8]) -> HeaderMap {
    let mut wishes = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').skip(1).take_while(|line| !line.trim_ascii().is_empty()) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        for wish in [ACCEPT, CONTENT_TYPE] {
            if line[..colon].eq_ignore_ascii_case(wish.as_str().as_bytes())
                && let Ok(value) = HeaderValue::from_bytes(line[colon + 1..].trim_ascii())
            {
                wishes.append(wish, value);
            }
        }
    }
    wishes
}
