//! Bodies with an end: of a request by a deadline, of an answer as the moment from which its connection only
//! sends what hyper holds.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::{Bound, HttpLimiter};

/// The body of a request. It fails when it is not complete in time.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    shared: HttpLimiter,
    /// Runs from the first poll on.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, shared: HttpLimiter) -> Self {
        Self { inner, shared, deadline: None }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let me = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut me.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let allowed = me.shared.limits.body_timeout;
        let timer = me.deadline.get_or_insert_with(|| Box::pin(sleep(allowed)));
        timer.as_mut().poll(context).map(|()| {
            me.shared.met(Bound::BodyTimeout);
            Some(Err(io::ErrorKind::TimedOut.into()))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer.
pub(super) struct AnswerBody<B> {
    inner: Pin<Box<B>>,
    _busy: Busy,
}

/// Lives as long as a request is being answered. hyper drops an answer's body when it has buffered the last of
/// it; `Timed` sees when that is written.
pub(super) struct Busy(pub(super) Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.begin_sending();
    }
}

impl<B> AnswerBody<B> {
    pub(super) fn new(inner: B, busy: Busy) -> Self {
        Self { inner: Box::pin(inner), _busy: busy }
    }
}

impl<B: Body> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.get_mut().inner.as_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
