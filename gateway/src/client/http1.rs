//! A client's connection of HTTP/1: reads one request after the other, and writes their answers in that order.
//!
//! Requests that come before the answer to an earlier one wait in the read buffer, which is bounded, and then
//! in the kernel.

mod absolute;
mod framing;
mod head;
mod linger;
mod parse;
mod refusal;
mod request_line;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use pingora::protocols::Stream;
use prometheus::IntCounter;
use tokio::time::Instant;

use self::head::Head;
pub use self::refusal::Refusal;
use super::pace::Pace;
use super::timer::Timer;
use super::{ClientFailure, ClientLimits, Request};
use crate::draining::Draining;
use crate::http1::{BodyError, Connection};
use crate::message::Framing;
use crate::metrics::HttpMetrics;

/// Requests on one connection. The limit releases from time to time the memory that a connection gathers.
const MOST_REQUESTS: u32 = 10_000;

/// A client's connection of HTTP/1, with the request that it serves.
#[derive(Debug)]
pub struct Http1 {
    connection: Connection<Stream>,
    terms: Arc<Terms>,
    timer: Timer,
    pace: Pace,
    /// The header that is read.
    head: Head,
    /// Whether no byte of the next header has come, after another request.
    is_idle: bool,
    /// When the wait for the next header, or for its rest, began.
    reading_since: Option<Instant>,
    /// When the client last took bytes, while there are more.
    writing_since: Option<Instant>,
    requests: u32,
    /// Whether the connection may serve another request.
    keep: bool,
    /// Whether a body failed. The answer says so, and the rest of the body matters to nobody.
    failed: bool,
    /// Whether both directions belong to another protocol now.
    is_tunnel: bool,
}

/// What holds for all connections of HTTP/1.
#[derive(Debug)]
pub struct Terms {
    /// Limits of requests.
    pub limits: ClientLimits,
    /// Whether the program is stopping: then each answer is the last one on its connection.
    pub draining: Draining,
    /// Counts the headers that exceeded their timeout.
    pub missed: IntCounter,
    /// Counts the requests that are refused here.
    pub metrics: HttpMetrics,
}

/// What follows on a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are requests, and none is kept")]
pub enum Next {
    /// A request.
    Request(Request),
    /// A header that is refused. The connection must not be read as HTTP any more.
    Refused(Refusal),
    /// Nothing: the client ended the connection, or took too long.
    Ended,
}

impl Http1 {
    /// Begins on `stream`, of which `input` has been read. The time of the first header began when it was
    /// `accepted`.
    pub fn new(stream: Stream, input: BytesMut, accepted: Instant, terms: Arc<Terms>) -> Self {
        Self {
            connection: Connection::new(stream, input),
            timer: Timer::default(),
            pace: Pace::new(terms.limits.pace),
            terms,
            head: Head::default(),
            is_idle: false,
            reading_since: Some(accepted),
            writing_since: None,
            requests: 0,
            keep: true,
            failed: false,
            is_tunnel: false,
        }
    }

    /// Reads the next request header.
    pub async fn next(&mut self) -> Next {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Next> {
        loop {
            match self.take_request() {
                Ok(Some(request)) => return Poll::Ready(Next::Request(request)),
                Ok(None) => {}
                Err(refusal) => return Poll::Ready(Next::Refused(refusal)),
            }
            match self.connection.poll_fill(context) {
                Poll::Ready(Ok(1..)) if self.is_idle => {
                    self.is_idle = false;
                    self.reading_since = None;
                }
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Ended),
                Poll::Pending => {
                    self.connection.release_buffers();
                    return self.poll_header_deadline(context).map(|()| Next::Ended);
                }
            }
        }
    }

    /// Takes a request whose header has come.
    fn take_request(&mut self) -> Result<Option<Request>, Refusal> {
        self.skip_empty_lines();
        let limits = &self.terms.limits.header;
        let found = self.head.find(self.connection.buffered(), limits);
        let found = found.map_err(|failure| Refusal { failure, head: Bytes::new() })?;
        let Some(complete) = found else { return Ok(None) };
        let head = self.connection.take_head(complete.length);
        let parsed = parse::parse(head.clone(), complete.line, limits);
        let parsed = parsed.map_err(|failure| Refusal { failure, head })?;
        self.begin(parsed.keep_alive);
        self.connection.begin_read(parsed.request.framing);
        Ok(Some(parsed.request))
    }

    fn skip_empty_lines(&mut self) {
        let length = head::empty_lines(self.connection.buffered());
        if length > 0 && !self.head.has_line() {
            self.connection.take_head(length);
            self.head = Head::default();
        }
    }

    /// Begins the request whose header has just been taken.
    fn begin(&mut self, keep_alive: bool) {
        self.requests += 1;
        let limits = &self.terms.limits;
        self.keep = keep_alive && self.requests < MOST_REQUESTS && !limits.keepalive_timeout.is_zero();
        self.head = Head::default();
        self.reading_since = None;
        self.pace = Pace::new(limits.pace);
    }

    /// Waits until the next header should have begun, or be complete.
    fn poll_header_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.reading_since.get_or_insert_with(Instant::now);
        let limits = &self.terms.limits;
        let time = if self.is_idle { limits.keepalive_timeout } else { limits.header.time };
        ready!(self.timer.poll(since + time, context));
        if !self.is_idle {
            self.terms.missed.inc();
        }
        Poll::Ready(())
    }

    /// Reads the next part of the body; `None` behind its end.
    ///
    /// # Errors
    /// When no more of it will come.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ClientFailure>> {
        match self.connection.poll_body(context) {
            Poll::Ready(Ok(part)) => Poll::Ready(self.receive(part)),
            Poll::Ready(Err(BodyError::Malformed)) => Poll::Ready(Err(self.fail(ClientFailure::Malformed))),
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.fail(ClientFailure::Gone))),
            Poll::Pending if self.is_tunnel => Poll::Pending,
            Poll::Pending => {
                let deadline = self.pace.wait();
                ready!(self.timer.poll(deadline, context));
                Poll::Ready(Err(self.fail(ClientFailure::TimedOut)))
            }
        }
    }

    /// Notes that `part` has come. The last part is taken however slowly the body came.
    fn receive(&mut self, part: Option<Bytes>) -> Result<Option<Bytes>, ClientFailure> {
        let length = part.as_ref().map_or(0, Bytes::len);
        match self.pace.receive(length) {
            Err(failure) if !self.is_tunnel && !self.connection.is_read() => Err(self.fail(failure)),
            _ => Ok(part),
        }
    }

    fn fail(&mut self, failure: ClientFailure) -> ClientFailure {
        self.keep = false;
        self.failed = true;
        failure
    }

    /// The trailers of the body, once it has been read.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.connection.take_trailers()
    }

    /// Waits until the client ends the connection. The bytes of further requests are kept, and are no end. Holds
    /// no buffers that are empty: an answer may take long.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<ClientFailure> {
        match self.connection.poll_end(context) {
            Poll::Ready(_) => Poll::Ready(self.fail(ClientFailure::Gone)),
            Poll::Pending => {
                self.connection.release_buffers();
                Poll::Pending
            }
        }
    }

    /// Where the text of the next header is written.
    pub fn head(&mut self) -> &mut BytesMut {
        self.connection.head()
    }

    /// Begins to write the body that follows the header. A body that ends with the connection is the last one.
    pub fn begin_write(&mut self, framing: Framing) {
        self.keep &= framing != Framing::Close;
        self.connection.begin_write(framing);
    }

    /// Begins another protocol, behind the header of a 101: both directions end by themselves, and no deadline
    /// holds for bytes from the client.
    pub fn begin_tunnel(&mut self) {
        self.keep = false;
        self.is_tunnel = true;
        self.connection.begin_read(Framing::Close);
        self.connection.begin_write(Framing::Close);
    }

    /// Whether the connection may serve another request, for the header of the answer: not if the request's
    /// body has not been read to its end by now. It closes behind the answer to whose header this was `false`.
    pub fn keeps_alive(&mut self) -> bool {
        self.keep &= self.connection.is_read() && !self.terms.draining.has_begun();
        self.keep
    }

    /// Closes the connection behind this answer.
    pub fn close(&mut self) {
        self.keep = false;
    }

    /// Queues a part of the answer's body.
    pub fn queue(&mut self, part: Bytes) {
        self.connection.queue(part);
    }

    /// Queues the end of the answer's body. Only a chunked body has `trailers`. An answer of another length
    /// than announced stays without its end: the connection closes at once.
    pub fn queue_end(&mut self, trailers: Option<&HeaderMap>) {
        if self.connection.queue_end(trailers).is_err() {
            self.keep = false;
        }
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// When the client is gone, or takes nothing for too long.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientFailure>> {
        let before = self.connection.progress();
        let flushed = self.connection.poll_flush(context);
        if flushed.is_ready() || self.connection.progress() > before {
            self.writing_since = None;
        }
        match flushed {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(self.fail(ClientFailure::Gone))),
            Poll::Pending => {
                let since = *self.writing_since.get_or_insert_with(Instant::now);
                ready!(self.timer.poll(since + self.terms.limits.pace.body_timeout, context));
                Poll::Ready(Err(self.fail(ClientFailure::Gone)))
            }
        }
    }

    /// Allows bodies at any rate, for a conversation.
    pub fn allow_any_rate(&mut self) {
        self.pace.allow_any_rate();
    }

    /// Ends the exchange once its answer has been queued: writes the rest of it. Returns whether the connection
    /// serves another request; if not, it has been closed.
    pub async fn finish(&mut self) -> bool {
        // A part of an answer must not look like the whole.
        if !self.connection.is_written() || poll_fn(|context| self.poll_flush(context)).await.is_err() {
            return false;
        }
        if self.keep && self.connection.is_read() {
            self.is_idle = self.connection.buffered().is_empty();
            return true;
        }
        self.linger().await;
        false
    }
}
