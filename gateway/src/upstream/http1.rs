//! One exchange with an upstream of HTTP/1.1.

use std::fmt::{Debug, Display};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::task::unconstrained;

use super::answer::{AnswerLimits, MOST_INTERIM, RequestKind, Response};
use super::deadline::Deadline;
use super::failure::{Direction, UpstreamFailure, text};
use super::io::Io;
use super::terms::Key;
use super::timeouts::Timeouts;
use crate::http1::{BodyError, Connection};
use crate::message::Framing;

/// A connection, and the state of one exchange.
///
/// Reading and writing do not depend on each other: an upstream may answer before it has read the request.
/// When it does not take the request, it may still have answered, so that a failed write ends only the
/// request's body. The answer, or its absence, says what became of the exchange.
#[derive(Debug)]
pub struct Http1 {
    connection: Connection<Io>,
    deadline: Deadline,
    exchange: Exchange,
    /// Where the connection is kept between exchanges.
    home: Option<(Arc<dyn Home>, Key)>,
    limits: AnswerLimits,
    timeouts: Timeouts,
    reused: bool,
}

/// Keeps connections between exchanges.
pub(super) trait Home: Debug + Send + Sync {
    fn keep(&self, key: Key, connection: Box<Http1>);
}

/// The state of one exchange.
#[derive(Debug, Default)]
struct Exchange {
    request: RequestKind,
    /// The buffered bytes in which no header ends.
    searched: usize,
    interim: u32,
    /// Whether the final answer's header came.
    answered: bool,
    /// Whether the answer allows another exchange.
    keeps: bool,
    /// Whether all that was queued has been written.
    flushed: bool,
    is_tunnel: bool,
    /// Why the request cannot be written.
    unwritten: Option<Box<str>>,
    /// Whether the request's body has another length than its header says.
    has_wrong_length: bool,
}

impl Http1 {
    /// Begins on a new connection.
    pub(super) fn new(io: Io, limits: AnswerLimits) -> Box<Self> {
        Box::new(Self {
            connection: Connection::new(io, BytesMut::new()),
            deadline: Deadline::default(),
            exchange: Exchange::default(),
            home: None,
            limits,
            timeouts: Timeouts::default(),
            reused: false,
        })
    }

    /// Prepares an exchange after which the connection returns to `home`.
    pub(super) fn prepare(&mut self, home: Arc<dyn Home>, key: Key, timeouts: Timeouts, reused: bool) {
        (self.home, self.timeouts, self.reused) = (Some((home, key)), timeouts, reused);
    }

    /// Where the text of the request's header is written.
    pub fn head(&mut self) -> &mut BytesMut {
        self.connection.head()
    }

    /// Begins the exchange. The header has been written to [`Http1::head`], and a body follows as `framing`
    /// says.
    pub fn begin(&mut self, framing: Framing, request: RequestKind) {
        self.connection.begin_write(framing);
        self.exchange = Exchange { request, ..Exchange::default() };
        self.deadline.restart();
    }

    /// Whether the connection has been used for other requests.
    pub fn was_reused(&self) -> bool {
        self.reused
    }

    /// The address, until the exchange has ended.
    pub fn address(&self) -> Option<SocketAddr> {
        self.home.as_ref().map(|(_, key)| key.address)
    }

    /// Begins the time for the answer again: the upstream is not to blame for the wait so far.
    pub fn excuse(&mut self) {
        self.deadline.restart();
    }

    /// Whether the upstream takes more of the request.
    pub fn wants_body(&self) -> bool {
        self.exchange.unwritten.is_none()
    }

    /// Queues a part of the request's body.
    pub fn queue(&mut self, part: Bytes) {
        if self.wants_body() {
            self.exchange.flushed = false;
            self.connection.queue(part);
        }
    }

    /// Queues the end of the request's body; of a tunnel, the end of this direction.
    pub fn queue_end(&mut self, trailers: Option<&HeaderMap>) {
        if self.wants_body() {
            self.exchange.flushed = false;
            self.exchange.has_wrong_length |= self.connection.queue_end(trailers).is_err();
        }
    }

    /// Writes everything queued, or as much as the upstream takes before it refuses more.
    ///
    /// # Errors
    /// When the upstream takes nothing for too long; of a tunnel, also when the connection fails.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), UpstreamFailure>> {
        if self.exchange.has_wrong_length {
            return Poll::Ready(Err(UpstreamFailure::WrongLength));
        }
        if !self.wants_body() {
            return Poll::Ready(Ok(()));
        }
        match self.connection.poll_flush(context) {
            Poll::Ready(Ok(())) => {
                self.exchange.flushed = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) if self.exchange.is_tunnel => {
                Poll::Ready(Err(UpstreamFailure::broken(error)))
            }
            Poll::Ready(Err(error)) => {
                self.exchange.unwritten = Some(text(error));
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_deadline(context, Direction::Write).map(Err),
        }
    }

    /// Reads the header of the next answer: interim ones, then the final one.
    ///
    /// # Errors
    /// When no valid answer comes.
    pub fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<Result<Response, UpstreamFailure>> {
        loop {
            if let Some(response) = self.take_response()? {
                return Poll::Ready(Ok(response));
            }
            match self.connection.poll_fill(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.closed("end of the connection"))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.closed(error))),
                Poll::Pending => return self.poll_deadline(context, Direction::Read).map(Err),
            }
        }
    }

    /// Takes the header that has been read, if it is complete.
    fn take_response(&mut self) -> Result<Option<Response>, UpstreamFailure> {
        let exchange = &mut self.exchange;
        let end = self.limits.find_end(self.connection.buffered(), &mut exchange.searched)?;
        let Some(end) = end else { return Ok(None) };
        exchange.searched = 0;
        let header = self.connection.take_head(end);
        let parsed = self.limits.parse(&header, exchange.request)?;
        if parsed.response.is_interim() {
            exchange.interim += 1;
            if exchange.interim > MOST_INTERIM {
                return Err(UpstreamFailure::invalid("too many interim answers"));
            }
        } else {
            (exchange.answered, exchange.keeps) = (true, parsed.keeps);
            self.connection.begin_read(parsed.response.framing);
        }
        Ok(Some(parsed.response))
    }

    fn closed(&self, cause: impl Display) -> UpstreamFailure {
        let nothing_came = self.connection.buffered().is_empty() && self.exchange.interim == 0;
        // The write failed first.
        match &self.exchange.unwritten {
            Some(first) => UpstreamFailure::closed(nothing_came, first),
            None => UpstreamFailure::closed(nothing_came, cause),
        }
    }

    /// Reads the next part of the answer's body; `None` behind its end.
    ///
    /// # Errors
    /// When no more of it comes.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamFailure>> {
        match self.connection.poll_body(context) {
            Poll::Ready(Ok(part)) => Poll::Ready(Ok(part)),
            Poll::Ready(Err(error @ BodyError::Malformed)) => {
                Poll::Ready(Err(UpstreamFailure::invalid(error)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(UpstreamFailure::broken(error))),
            Poll::Pending => self.poll_deadline(context, Direction::Read).map(Err),
        }
    }

    /// The trailers of the answer, once its body has been read.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.connection.take_trailers()
    }

    /// Makes both directions a stream of bytes, after an answer of 101. Each direction ends by itself.
    pub fn begin_tunnel(&mut self) {
        self.exchange.is_tunnel = true;
        self.connection.begin_read(Framing::Close);
        self.connection.begin_write(Framing::Close);
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, direction: Direction) -> Poll<UpstreamFailure> {
        let limit = match direction {
            Direction::Read => self.timeouts.read,
            Direction::Write => self.timeouts.write,
        };
        ready!(self.deadline.poll(context, self.connection.progress(), limit));
        Poll::Ready(UpstreamFailure::TimedOut(direction))
    }

    /// Ends the exchange. The connection returns to the pool if both messages are complete and the answer
    /// allows that; else it is closed.
    pub fn release(mut self: Box<Self>) {
        if let Some((home, key)) = self.home.take().filter(|_| self.is_complete()) {
            self.connection.release_buffers();
            home.keep(key, self);
        }
    }

    fn is_complete(&self) -> bool {
        let Exchange { answered, keeps, flushed, is_tunnel, unwritten, has_wrong_length, .. } =
            &self.exchange;
        let answer_is_read = *answered && *keeps && self.connection.is_read();
        let request_is_written = *flushed && self.connection.is_written();
        // Bytes behind the answer would be read as the next one.
        let is_clean = self.connection.buffered().is_empty() && !is_tunnel;
        answer_is_read && request_is_written && is_clean && unwritten.is_none() && !has_wrong_length
    }

    /// Whether an idle connection cannot be used: the upstream has ended it, or sent bytes that nobody asked for.
    pub(super) fn is_stale(&mut self) -> bool {
        // Without its budget: a connection would look alive to a task that has used its own up.
        let filled = poll_fn(|context| Poll::Ready(self.connection.poll_fill(context).is_ready()));
        let something_came = pin!(unconstrained(filled)).poll(&mut Context::from_waker(Waker::noop()));
        something_came == Poll::Ready(true) || !self.connection.buffered().is_empty()
    }
}

#[cfg(test)]
mod tests;
