//! A client's stream of HTTP/2. The connection reads and writes in a task of its own, which wakes the task
//! that polls the stream.

mod connection;
mod refusal;
mod request;
mod rest;
mod settings;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response};
use tokio::time::Instant;

pub use self::connection::Connections;
pub use self::settings::{Settings, Windows};
use super::pace::Pace;
use super::timer::Timer;
use super::{ClientFailure, PaceTerms};
use crate::message::unshared;

/// The most interim answers to one request.
const INTERIM_ANSWERS: u32 = 100;

/// A client's stream of HTTP/2. It is reset when it is dropped before the end of its answer was written.
#[derive(Debug)]
pub struct Http2 {
    body: RecvStream,
    reading: Reading,
    trailers: Option<HeaderMap>,
    pace: Pace,
    response: SendResponse<Bytes>,
    /// Interim answers so far.
    interim_answers: u32,
    /// The body of the answer, once its header was sent.
    answer: Option<SendStream<Bytes>>,
    /// Parts of the answer's body. The last one waits for what follows, so that it can be the end.
    queued: VecDeque<Bytes>,
    writing: Writing,
    terms: PaceTerms,
    /// When the client must have made room for the next bytes.
    stalled: Option<Instant>,
    timer: Timer,
}

/// How far the request's body has been read.
#[derive(Clone, Copy, Debug)]
enum Reading {
    Body,
    Ended,
    Failed(ClientFailure),
}

/// How far the answer has been written.
#[derive(Debug)]
enum Writing {
    Open,
    /// The end is queued, perhaps with trailers.
    Ending(Option<HeaderMap>),
    Ended,
    Failed,
}

impl Http2 {
    /// Creates the stream of a request with `body`. An answer that makes no progress fails after the silence
    /// that `terms` allow to the request's body.
    pub(super) fn new(body: RecvStream, response: SendResponse<Bytes>, terms: PaceTerms) -> Self {
        Self {
            body,
            reading: Reading::Body,
            trailers: None,
            pace: Pace::new(terms),
            response,
            interim_answers: 0,
            answer: None,
            queued: VecDeque::new(),
            writing: Writing::Open,
            terms,
            stalled: None,
            timer: Timer::default(),
        }
    }

    /// Reads the next part of the body; `None` behind its end. Lets the client send as many bytes again.
    ///
    /// # Errors
    /// When no more of it will come.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ClientFailure>> {
        let read = match self.reading {
            Reading::Body => ready!(self.poll_part(context)),
            Reading::Ended => Ok(None),
            Reading::Failed(failure) => Err(failure),
        };
        match &read {
            Ok(Some(_)) => {}
            Ok(None) => self.reading = Reading::Ended,
            Err(failure) => self.reading = Reading::Failed(*failure),
        }
        Poll::Ready(read)
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ClientFailure>> {
        loop {
            match self.body.poll_data(context) {
                Poll::Ready(Some(Ok(part))) => {
                    // Fails only for more bytes than were received.
                    self.body.flow_control().release_capacity(part.len()).ok();
                    // An empty frame is silence.
                    if !part.is_empty() {
                        return Poll::Ready(self.pace.receive(part.len()).map(|()| Some(part)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(read_failure(&error))),
                Poll::Ready(None) => break,
                Poll::Pending => return self.poll_silence(context),
            }
        }
        match self.body.poll_trailers(context) {
            Poll::Ready(Ok(trailers)) => self.trailers = trailers,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(read_failure(&error))),
            Poll::Pending => return self.poll_silence(context),
        }
        self.pace.end();
        Poll::Ready(Ok(None))
    }

    fn poll_silence<T>(&mut self, context: &mut Context<'_>) -> Poll<Result<T, ClientFailure>> {
        let silent = self.pace.wait();
        self.timer.poll(silent, context).map(|()| Err(ClientFailure::TimedOut))
    }

    /// The trailers of the body, once it has been read.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Waits until the client resets the stream or ends the connection.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<ClientFailure> {
        let reset = match &mut self.answer {
            Some(answer) => answer.poll_reset(context),
            None => self.response.poll_reset(context),
        };
        reset.map(|_| ClientFailure::Gone)
    }

    /// Sends an interim answer, such as 100 or 103, before the header of the answer. Nothing can wait until the
    /// client has taken it, so a number of them is sent and further ones are dropped.
    pub fn send_interim(&mut self, header: Response<()>) {
        self.interim_answers += 1;
        if self.interim_answers > INTERIM_ANSWERS {
            return;
        }
        if self.response.send_informational(header).is_err() {
            self.writing = Writing::Failed;
        }
    }

    /// Sends the header of the answer, which has no body and no trailers if it is the `end`. Fields of one
    /// connection (RFC 9113, section 8.2.2) must not be among its fields.
    pub fn send_head(&mut self, header: Response<()>, end: bool) {
        match self.response.send_response(header, end) {
            Ok(_) if end => self.writing = Writing::Ended,
            Ok(answer) => self.answer = Some(answer),
            Err(_) => self.writing = Writing::Failed,
        }
    }

    /// Queues a part of the answer's body.
    pub fn queue(&mut self, part: Bytes) {
        if matches!(self.writing, Writing::Open) && !part.is_empty() {
            self.queued.push_back(unshared(part));
        }
    }

    /// Queues the end of the answer's body.
    pub fn queue_end(&mut self, trailers: Option<HeaderMap>) {
        if matches!(self.writing, Writing::Open) {
            self.writing = Writing::Ending(trailers.filter(|trailers| !trailers.is_empty()));
        }
    }

    /// Writes what is queued, as far as the client allows. Ready when all of it is with the connection, whose
    /// own buffers are bounded.
    ///
    /// # Errors
    /// [`ClientFailure::Gone`] when the stream has ended, or the client makes no room for too long.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientFailure>> {
        let written = ready!(self.poll_write(context));
        if written.is_err() {
            self.writing = Writing::Failed;
            self.queued.clear();
        }
        Poll::Ready(written)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientFailure>> {
        if matches!(self.writing, Writing::Failed) {
            return Poll::Ready(Err(ClientFailure::Gone));
        }
        while let Some(part) = self.queued.front() {
            let room = ready!(self.poll_room(part.len(), context))?;
            self.write_part(room)?;
        }
        if let Writing::Ending(trailers) = &mut self.writing {
            let trailers = trailers.take();
            let answer = self.answer.as_mut().ok_or(ClientFailure::Gone)?;
            let sent = match trailers {
                Some(trailers) => answer.send_trailers(trailers),
                None => answer.send_data(Bytes::new(), true),
            };
            sent.map_err(|_| ClientFailure::Gone)?;
            self.writing = Writing::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// How many of `wanted` bytes the client takes.
    fn poll_room(&mut self, wanted: usize, context: &mut Context<'_>) -> Poll<Result<usize, ClientFailure>> {
        let Some(answer) = &mut self.answer else { return Poll::Ready(Err(ClientFailure::Gone)) };
        answer.reserve_capacity(wanted);
        // Asked for first: the poll is only ready when there is more room than before.
        let mut room = answer.capacity();
        while room == 0 {
            match answer.poll_capacity(context) {
                Poll::Ready(Some(Ok(more))) => room = more,
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(ClientFailure::Gone)),
                Poll::Pending => {
                    let stalled =
                        *self.stalled.get_or_insert_with(|| Instant::now() + self.terms.body_timeout);
                    return self.timer.poll(stalled, context).map(|()| Err(ClientFailure::Gone));
                }
            }
        }
        self.stalled = None;
        Poll::Ready(Ok(room))
    }

    /// Writes up to `room` bytes of the first part, with the end of the answer if nothing else follows.
    fn write_part(&mut self, room: usize) -> Result<(), ClientFailure> {
        let answer = self.answer.as_mut().ok_or(ClientFailure::Gone)?;
        let Some(part) = self.queued.front_mut() else { return Ok(()) };
        let written = part.split_to(room.min(part.len()));
        if part.is_empty() {
            self.queued.pop_front();
        }
        let end = self.queued.is_empty() && matches!(self.writing, Writing::Ending(None));
        answer.send_data(written, end).map_err(|_| ClientFailure::Gone)?;
        if end {
            self.writing = Writing::Ended;
        }
        Ok(())
    }

    /// Reads what the client still sends of its body after the whole answer, for a bounded time. Then the
    /// stream is dropped.
    pub async fn finish(mut self) {
        if matches!((&self.writing, self.reading), (Writing::Ended, Reading::Body)) {
            rest::read(&mut self.body).await;
        }
    }

    /// Allows bodies at any rate, for a conversation.
    pub fn allow_any_rate(&mut self) {
        self.pace.allow_any_rate();
    }
}

impl Drop for Http2 {
    /// Tells the client that its answer is not whole. A whole one needs nothing: if the request's body is still
    /// coming, dropping the stream asks the client to stop it (RFC 9113, section 8.1).
    fn drop(&mut self) {
        if !matches!(self.writing, Writing::Ended) {
            self.response.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// Why no more of a body comes: the client broke a rule, such as the length that it announced, or is gone.
fn read_failure(error: &h2::Error) -> ClientFailure {
    if error.is_library() { ClientFailure::Malformed } else { ClientFailure::Gone }
}
