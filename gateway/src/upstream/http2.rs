//! One exchange with an upstream of HTTP/2: a stream of a connection that others share.

mod connection;
mod driver;
mod status;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, StatusCode, Version};

pub(super) use self::connection::{Connection, Slot, handshake};
use super::answer::{AnswerLimits, MOST_INTERIM, Response, never_has_body, stated_length};
use super::deadline::Deadline;
use super::failure::{Direction, UpstreamFailure, text};
use super::timeouts::Timeouts;
use crate::message::{Fields, Framing, unshared};

/// A stream, and the state of its exchange.
#[derive(Debug)]
pub struct Http2 {
    slot: Slot,
    upload: Upload,
    download: Download,
    is_head: bool,
    /// Whether the answer has no body, whatever it says.
    has_no_body: bool,
    interim: u32,
    trailers: Option<HeaderMap>,
    deadline: Deadline,
    /// Parts of bodies that have come and gone so far.
    progress: u64,
    limits: AnswerLimits,
    timeouts: Timeouts,
    reused: bool,
}

/// The state of the request.
#[derive(Debug, Default)]
struct Upload {
    /// `None` before the request begins, and when the upstream takes no more of it.
    stream: Option<SendStream<Bytes>>,
    queued: VecDeque<Bytes>,
    /// The end of the body with its trailers.
    end: Option<Option<HeaderMap>>,
}

/// The state of the answer.
#[derive(Debug)]
enum Download {
    Header(ResponseFuture),
    Body(RecvStream),
    Done,
    /// The request could not be sent.
    Unsent(UpstreamFailure),
}

impl Http2 {
    pub(super) fn new(slot: Slot, limits: AnswerLimits, timeouts: Timeouts, reused: bool) -> Box<Self> {
        Box::new(Self {
            slot,
            upload: Upload::default(),
            download: Download::Done,
            is_head: false,
            has_no_body: false,
            interim: 0,
            trailers: None,
            deadline: Deadline::default(),
            progress: 0,
            limits,
            timeouts,
            reused,
        })
    }

    /// Begins the exchange. A body follows, unless this is the `end`.
    pub fn begin(&mut self, request: http::Request<()>, end: bool) {
        self.is_head = request.method() == Method::HEAD;
        self.deadline.restart();
        match self.slot.send_request(request, end) {
            Ok((response, stream)) => {
                self.upload.stream = (!end).then_some(stream);
                self.download = Download::Header(response);
            }
            Err(error) => self.download = Download::Unsent(unsent(&error)),
        }
    }

    /// Whether the connection has been used for other requests.
    pub fn was_reused(&self) -> bool {
        self.reused
    }

    /// Begins the time for the answer again: the upstream is not to blame for the wait so far.
    pub fn excuse(&mut self) {
        self.deadline.restart();
    }

    /// Whether the upstream takes more of the request.
    pub fn wants_body(&self) -> bool {
        self.upload.stream.is_some()
    }

    /// Queues a part of the request's body.
    pub fn queue(&mut self, part: Bytes) {
        if self.wants_body() && !part.is_empty() {
            self.upload.queued.push_back(unshared(part));
        }
    }

    /// Queues the end of the request's body.
    pub fn queue_end(&mut self, trailers: Option<HeaderMap>) {
        self.upload.end = Some(trailers);
    }

    /// Hands everything queued to the connection, as the upstream gives room for it. When the upstream takes no
    /// more, its answer says why.
    ///
    /// # Errors
    /// When there is no room for too long.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), UpstreamFailure>> {
        match self.upload.poll(&mut self.progress, context) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_deadline(context, Direction::Write).map(Err),
        }
    }

    /// Reads the header of the next answer: interim ones, then the final one.
    ///
    /// # Errors
    /// When no valid answer comes.
    pub fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<Result<Response, UpstreamFailure>> {
        let future = match &mut self.download {
            Download::Header(future) => future,
            Download::Unsent(failure) => return Poll::Ready(Err(failure.clone())),
            Download::Body(_) | Download::Done => {
                return Poll::Ready(Err(UpstreamFailure::invalid("there is one answer")));
            }
        };
        if let Poll::Ready(Some(interim)) = future.poll_informational(context) {
            let interim = interim.map_err(|error| before_answer(&error, self.interim))?;
            return Poll::Ready(self.interim(interim));
        }
        match Pin::new(future).poll(context) {
            Poll::Ready(Ok(answer)) => Poll::Ready(self.answer(answer)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(before_answer(&error, self.interim))),
            Poll::Pending => self.poll_deadline(context, Direction::Read).map(Err),
        }
    }

    fn interim(&mut self, interim: http::Response<()>) -> Result<Response, UpstreamFailure> {
        self.interim += 1;
        self.progress += 1;
        if self.interim > MOST_INTERIM {
            return Err(UpstreamFailure::invalid("too many interim answers"));
        }
        let (head, ()) = interim.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(UpstreamFailure::invalid("HTTP/2 does not switch protocols"));
        }
        self.response(head, Framing::Empty)
    }

    fn answer(&mut self, answer: http::Response<RecvStream>) -> Result<Response, UpstreamFailure> {
        self.progress += 1;
        let (head, body) = answer.into_parts();
        self.has_no_body = self.is_head || never_has_body(head.status);
        let framing = if self.has_no_body || body.is_end_stream() { Framing::Empty } else { Framing::Close };
        self.download = Download::Body(body);
        self.response(head, framing)
    }

    fn response(&self, head: http::response::Parts, framing: Framing) -> Result<Response, UpstreamFailure> {
        let http::response::Parts { status, headers, .. } = head;
        self.limits.check(headers.iter().map(|(name, value)| name.as_str().len() + value.len()))?;
        let length = stated_length(&headers)?;
        let framing = match (framing, length) {
            // The stream may end later, with trailers.
            (Framing::Close, Some(length @ 1..)) => Framing::Length(length),
            (framing, _) => framing,
        };
        let (reason, version, fields) = (Bytes::new(), Version::HTTP_2, Fields::Map(headers));
        Ok(Response { status, reason, version, fields, framing, length })
    }

    /// Reads the next part of the answer's body; `None` behind its end.
    ///
    /// # Errors
    /// When no more of it comes.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamFailure>> {
        let Download::Body(body) = &mut self.download else { return Poll::Ready(Ok(None)) };
        match body.poll_data(context) {
            Poll::Ready(Some(Ok(part))) => {
                self.progress += 1;
                if self.has_no_body && !part.is_empty() {
                    return Poll::Ready(Err(UpstreamFailure::invalid("it has a body that it cannot have")));
                }
                // What is read is passed on before more is read, so that this bounds what is buffered. It fails
                // only if there is nothing to release.
                body.flow_control().release_capacity(part.len()).ok();
                Poll::Ready(Ok(Some(part)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(UpstreamFailure::broken(error))),
            Poll::Ready(None) => self.poll_trailers(context),
            Poll::Pending => self.poll_deadline(context, Direction::Read).map(Err),
        }
    }

    fn poll_trailers(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamFailure>> {
        let Download::Body(body) = &mut self.download else { return Poll::Ready(Ok(None)) };
        match body.poll_trailers(context) {
            Poll::Ready(Ok(trailers)) => {
                self.trailers = trailers;
                self.download = Download::Done;
                Poll::Ready(Ok(None))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(UpstreamFailure::broken(error))),
            Poll::Pending => self.poll_deadline(context, Direction::Read).map(Err),
        }
    }

    /// The trailers of the answer, once its body has been read.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, direction: Direction) -> Poll<UpstreamFailure> {
        let limit = match direction {
            Direction::Read => self.timeouts.read,
            Direction::Write => self.timeouts.write,
        };
        ready!(self.deadline.poll(context, self.progress, limit));
        Poll::Ready(UpstreamFailure::TimedOut(direction))
    }
}

impl Upload {
    /// Hands over what is queued. Ready when nothing is left, or nothing is wanted.
    fn poll(&mut self, progress: &mut u64, context: &mut Context<'_>) -> Poll<()> {
        while let (Some(stream), Some(part)) = (&mut self.stream, self.queued.front_mut()) {
            stream.reserve_capacity(part.len());
            let room = stream.capacity();
            if room == 0 {
                match ready!(stream.poll_capacity(context)) {
                    Some(Ok(_)) => continue,
                    // The stream has been reset, or the connection has ended.
                    Some(Err(_)) | None => self.stream = None,
                }
                break;
            }
            let piece = part.split_to(room.min(part.len()));
            *progress += 1;
            let is_last = part.is_empty() && self.queued.len() == 1 && matches!(self.end, Some(None));
            if stream.send_data(piece, is_last).is_err() || is_last {
                self.stream = None;
            } else if self.queued.front().is_some_and(Bytes::is_empty) {
                self.queued.pop_front();
            }
        }
        self.finish();
        Poll::Ready(())
    }

    /// Sends the end behind the last part, or drops what nobody wants.
    fn finish(&mut self) {
        if self.stream.is_none() {
            self.queued.clear();
        } else if let Some(end) = self.end.take() {
            let sent = self.stream.take().map(|mut stream| match end {
                Some(trailers) => stream.send_trailers(trailers),
                None => stream.send_data(Bytes::new(), true),
            });
            // If it fails, the answer says why.
            drop(sent);
        }
    }
}

/// Why no answer came.
fn before_answer(error: &h2::Error, interim: u32) -> UpstreamFailure {
    // Streams beyond the last one of a GOAWAY end with its error, the earlier ones go on.
    let unprocessed =
        error.is_go_away() || error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    if unprocessed && error.is_remote() {
        UpstreamFailure::NotProcessed(text(error))
    } else if error.is_io() {
        UpstreamFailure::closed(interim == 0, error)
    } else if error.is_library() {
        UpstreamFailure::invalid(error)
    } else {
        UpstreamFailure::broken(error)
    }
}

/// Why the request was not sent: the connection has ended meanwhile, or the request is none that HTTP/2 has.
fn unsent(error: &h2::Error) -> UpstreamFailure {
    if error.is_go_away() || error.is_io() {
        UpstreamFailure::NotProcessed(text(error))
    } else {
        UpstreamFailure::invalid(error)
    }
}

#[cfg(test)]
mod tests;
