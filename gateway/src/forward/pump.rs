//! Passes a body from one side to the other, with back-pressure: no more is read than the other side takes.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;

use super::Failure;
use super::fields::is_reserved_trailer;
use crate::client::Incoming;
use crate::error::RequestFailure;
use crate::upstream::Upstream;

/// Parts are gathered up to this size before they are written. What is there already costs one write, and
/// nothing waits for more to come.
const BATCH: usize = 8 * 1024;

/// One end of a body.
pub(super) trait Side {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>>;
    fn take_trailers(&mut self) -> Option<HeaderMap>;
    fn queue(&mut self, part: Bytes);
    fn queue_end(&mut self, trailers: Option<HeaderMap>);
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>>;
}

/// The state of a body on its way. A header may be queued before it begins, and is written with its first part.
#[derive(Debug)]
pub(super) struct Pump {
    /// Whether trailers go on.
    passes_trailers: bool,
    flushing: bool,
    end: Option<Result<(), Failure>>,
    done: bool,
}

impl Pump {
    pub(super) fn new(passes_trailers: bool) -> Self {
        Self { passes_trailers, flushing: false, end: None, done: false }
    }

    /// Whether the body has been passed on to its end.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Whether what waits is the reader, not the writer.
    pub(super) fn is_flushing(&self) -> bool {
        self.flushing
    }

    /// Notes that the end is queued already.
    pub(super) fn end(&mut self) {
        (self.end, self.flushing) = (Some(Ok(())), true);
    }

    /// Passes on nothing more.
    pub(super) fn abandon(&mut self) {
        self.done = true;
    }

    /// Passes on what comes, until the end. `note` sees each part and the end.
    pub(super) fn poll(
        &mut self,
        from: &mut impl Side,
        to: &mut impl Side,
        context: &mut Context<'_>,
        mut note: impl FnMut(Noted<'_>),
    ) -> Poll<Result<(), Failure>> {
        loop {
            if self.flushing {
                ready!(to.poll_flush(context))?;
                self.flushing = false;
                if let Some(end) = self.end.take() {
                    self.done = true;
                    return Poll::Ready(end);
                }
            }
            let waits = self.fill(from, to, context, &mut note);
            self.flushing = true;
            if waits {
                ready!(to.poll_flush(context))?;
                self.flushing = false;
                return Poll::Pending;
            }
        }
    }

    /// Queues what is there. Returns whether the reader waits for more.
    fn fill(
        &mut self,
        from: &mut impl Side,
        to: &mut impl Side,
        context: &mut Context<'_>,
        note: &mut impl FnMut(Noted<'_>),
    ) -> bool {
        let mut queued = 0;
        while queued < BATCH {
            match from.poll_body(context) {
                Poll::Pending => return true,
                Poll::Ready(Ok(Some(part))) => {
                    queued += part.len();
                    note(Noted::Part(&part));
                    to.queue(part);
                }
                Poll::Ready(Ok(None)) => {
                    let trailers = from.take_trailers().filter(|_| self.passes_trailers).map(allowed);
                    note(Noted::End(trailers.as_ref()));
                    to.queue_end(trailers);
                    self.end = Some(Ok(()));
                    return false;
                }
                Poll::Ready(Err(failure)) => {
                    // What came before goes out, without an end.
                    self.end = Some(Err(failure));
                    return false;
                }
            }
        }
        false
    }
}

/// What passes.
#[derive(Debug)]
pub(super) enum Noted<'n> {
    Part(&'n Bytes),
    End(Option<&'n HeaderMap>),
}

/// Drops the trailers that no recipient should act on.
fn allowed(trailers: HeaderMap) -> HeaderMap {
    if !trailers.keys().any(|name| is_reserved_trailer(name.as_str())) {
        return trailers;
    }
    let kept = trailers.iter().filter(|(name, _)| !is_reserved_trailer(name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The body of a request comes from what was read early, and then from the client.
impl Side for Incoming {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        self.early.poll_next(&mut self.client, context).map_err(Failure::from)
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.early.take_trailers(&mut self.client)
    }

    fn queue(&mut self, part: Bytes) {
        self.client.queue(part);
    }

    fn queue_end(&mut self, trailers: Option<HeaderMap>) {
        self.client.queue_end(trailers);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.client.poll_flush(context).map_err(|failure| RequestFailure::from(failure).into())
    }
}

impl Side for Upstream {
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        Self::poll_body(self, context).map_err(Failure::from)
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        Self::take_trailers(self)
    }

    fn queue(&mut self, part: Bytes) {
        Self::queue(self, part);
    }

    fn queue_end(&mut self, trailers: Option<HeaderMap>) {
        Self::queue_end(self, trailers);
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Self::poll_flush(self, context).map_err(Failure::from)
    }
}
