//! One attempt: a request to one connection, and its answer.

use std::future::{Future, poll_fn};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::answer_fields::write_fields;
use super::pump::{Noted, Pump};
use super::replay::Replay;
use super::taps::Taps;
use super::{Failure, Forwarder, balanced, fields, head, tunnel};
use crate::client::{AnswerHead, Incoming, begin_answer, interim_answer, switch_protocols};
use crate::context::Context;
use crate::error::RequestFailure;
use crate::message::{FieldSink, Framing};
use crate::metrics::Source;
use crate::plugin::Answer;
use crate::upstream::{Direction, Response, Upstream, UpstreamFailure};

/// How long the rest of a request goes on behind its answer.
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// An attempt on a connection.
pub(super) struct Attempt<'a> {
    pub(super) forwarder: &'a Forwarder,
    pub(super) incoming: &'a mut Incoming,
    pub(super) context: &'a mut Context,
    pub(super) upstream: Upstream,
    pub(super) replay: &'a mut Replay,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The answer has been written to its end.
    Complete,
    /// It failed so that another attempt can have no effect twice.
    Retry(Failure),
}

impl Attempt<'_> {
    pub(super) async fn run(mut self) -> Result<Outcome, Failure> {
        let target =
            head::begin_request(&mut self.upstream, self.incoming, self.context, &self.forwarder.trusted)?;
        if let Some(notes) = &mut self.context.notes {
            notes.upstream_target = target;
        }
        let mut upload = self.begin_upload();
        let mut answer = match self.answer(&mut upload).await {
            Ok(answer) => answer,
            Err(failed) => {
                self.note_failure(&failed);
                super::note_failure(self.context, &failed);
                let repeats = self.may_repeat(&failed, upload.is_done());
                return if repeats { Ok(Outcome::Retry(failed)) } else { Err(failed) };
            }
        };
        if let Some(notes) = &mut self.context.notes {
            notes.end_try(Some(answer.status.as_u16()), false);
        }
        if let Some(unwanted) = self.unwanted(&answer) {
            return Ok(Outcome::Retry(unwanted));
        }
        self.note_answer();
        let drops_body = self.fit_to_method(&mut answer);
        let mut edited = self.edit(&answer);
        let switches = answer.status == http::StatusCode::SWITCHING_PROTOCOLS;
        if switches && !edited.as_deref().is_some_and(Answer::is_refused) {
            self.begin_tunnel(&answer, edited.as_deref())?;
            self.context.release_group();
            tunnel::run(self.incoming, &mut self.upstream, self.context.notes.as_deref_mut()).await;
            return Ok(Outcome::Complete);
        }
        let mut download = Pump::new(self.takes_trailers());
        let mut taps = Taps::default();
        match edited.as_deref_mut().map(|edited| (edited.wanted_body(), edited)) {
            Some((Some(limit), edited)) => {
                let body = self.whole_body(&mut upload, limit).await?;
                self.answer_whole(&answer, edited, body)?;
                download.end();
            }
            Some((None, edited)) if edited.is_refused() => {
                self.answer_empty(&answer, edited);
                download.end();
            }
            _ => {
                taps = Taps::of(edited.as_deref_mut());
                self.begin_answer(&answer, edited.as_deref());
                if drops_body {
                    self.incoming.client.queue_end(None);
                    download.end();
                }
            }
        }
        self.context.release_group();
        let passed = poll_fn(|task| self.poll_bodies(&mut upload, &mut download, &mut taps, task)).await;
        taps.end(passed.is_ok());
        if let Some(notes) = &mut self.context.notes {
            notes.end_body();
        }
        passed?;
        if !upload.is_done() && self.upstream.wants_body() {
            // The answer is complete. What comes of the request still goes on for a while.
            let rest = poll_fn(|task| self.poll_rest(&mut upload, task));
            timeout(REST_TIMEOUT, rest).await.ok();
        }
        // A connection with another protocol serves no further request.
        if !drops_body && !switches {
            self.upstream.release();
        }
        Ok(Outcome::Complete)
    }

    /// Fits an answer to the method of the client, where a plugin has changed it for the upstream: `HEAD` alone is
    /// answered without a body. Returns whether the upstream's body is not passed on.
    fn fit_to_method(&self, answer: &mut Response) -> bool {
        let request = &self.incoming.request;
        let upstream_is_head = request.method == http::Method::HEAD;
        if upstream_is_head && !request.is_head {
            // It is the length of a body that does not come.
            answer.length = None;
        }
        if upstream_is_head || !request.is_head || answer.framing == Framing::Empty {
            return false;
        }
        if let Framing::Length(length) = answer.framing {
            answer.length = Some(length);
        }
        answer.framing = Framing::Empty;
        true
    }

    /// Queues what was read of the body for an attempt before.
    fn begin_upload(&mut self) -> Pump {
        let mut upload = Pump::new(true);
        if self.is_conversation() {
            self.incoming.client.allow_any_rate();
        }
        let before = self.replay.bytes();
        if !before.is_empty() {
            self.upstream.queue(before);
        }
        if !self.may_ever_repeat() {
            self.replay.give_up();
        }
        if let Some(trailers) = self.replay.ended() {
            self.upstream.queue_end(trailers.cloned());
            upload.end();
        }
        upload
    }

    /// Sends the request until the header of its answer is there, or the time of the attempt is up.
    async fn answer(&mut self, upload: &mut Pump) -> Result<Response, Failure> {
        let Some(limit) = balanced::attempt_limit(self.context) else {
            return poll_fn(|task| self.poll_answer(upload, task)).await;
        };
        let mut timer = Box::pin(sleep(limit));
        let mut was_excused = false;
        poll_fn(|task| {
            if let Poll::Ready(answer) = self.poll_answer(upload, task) {
                return Poll::Ready(answer);
            }
            let is_excused = self.awaits_client(upload);
            if is_excused || was_excused {
                timer.as_mut().reset(Instant::now() + limit);
            }
            was_excused = is_excused;
            timer.as_mut().poll(task).map(|()| Err(UpstreamFailure::TimedOut(Direction::Read).into()))
        })
        .await
    }

    /// Sends the request until the header of its answer is there. Interim answers go on at once.
    fn poll_answer(&mut self, upload: &mut Pump, task: &mut Task<'_>) -> Poll<Result<Response, Failure>> {
        self.poll_upload(upload, task)?;
        if self.awaits_client(upload) {
            self.upstream.excuse();
        }
        loop {
            match self.upstream.poll_response(task)? {
                Poll::Ready(interim) if interim.is_interim() => {
                    let client = &mut self.incoming.client;
                    let write = |sink: &mut dyn FieldSink| fields::write_answer(sink, &interim.fields, None);
                    interim_answer(client, &self.incoming.request, &head_of(&interim), write);
                }
                Poll::Ready(answer) => return Poll::Ready(Ok(answer)),
                Poll::Pending => break,
            }
        }
        // Interim answers, if there were any.
        if let Poll::Ready(flushed) = self.incoming.client.poll_flush(task) {
            flushed.map_err(RequestFailure::from)?;
        }
        self.poll_gone(upload, task)?;
        Poll::Pending
    }

    /// Whether what is awaited is the client, which has a deadline of its own.
    fn awaits_client(&self, upload: &Pump) -> bool {
        !upload.is_done() && !upload.is_flushing() && !self.is_conversation()
    }

    /// Sends the rest of the request, and the answer to its end.
    fn poll_bodies(
        &mut self,
        upload: &mut Pump,
        download: &mut Pump,
        taps: &mut Taps,
        task: &mut Task<'_>,
    ) -> Poll<Result<(), Failure>> {
        match self.poll_upload(upload, task) {
            // Perhaps it need not send its body after this answer, as after `Expect`.
            Err(failed) if failed.reason == RequestFailure::RequestTimeout && !self.is_conversation() => {
                upload.abandon();
            }
            uploaded => uploaded?,
        }
        let notes = &mut self.context.notes;
        let downloaded = download.poll(&mut self.upstream, self.incoming, task, |noted| {
            if let (Some(notes), Noted::Part(part)) = (&mut *notes, &noted) {
                notes.answer_bytes += part.len() as u64;
            }
            taps.note(&noted);
        });
        if downloaded.is_pending() {
            self.poll_gone(upload, task)?;
        }
        downloaded
    }

    /// Sends the rest of a request that has been answered.
    fn poll_rest(&mut self, upload: &mut Pump, task: &mut Task<'_>) -> Poll<()> {
        let going = self.poll_upload(upload, task).is_ok()
            && !upload.is_done()
            && self.upstream.wants_body()
            && self.poll_gone(upload, task).is_ok();
        if going { Poll::Pending } else { Poll::Ready(()) }
    }

    pub(super) fn poll_upload(&mut self, upload: &mut Pump, task: &mut Task<'_>) -> Result<(), Failure> {
        if upload.is_done() {
            return Ok(());
        }
        let replay = &mut *self.replay;
        let uploaded = upload.poll(self.incoming, &mut self.upstream, task, |noted| match noted {
            Noted::Part(part) => replay.keep(part),
            Noted::End(trailers) => replay.end(trailers),
        });
        match uploaded {
            Poll::Ready(Err(failed)) => Err(failed),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Notices that the client is gone, where no read of its body would.
    pub(super) fn poll_gone(&mut self, upload: &Pump, task: &mut Task<'_>) -> Result<(), Failure> {
        if !upload.is_done() && !upload.is_flushing() {
            return Ok(());
        }
        match self.incoming.client.poll_gone(task) {
            Poll::Ready(gone) => Err(RequestFailure::from(gone).into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Tells the balancer of an attempt that failed before its answer.
    fn note_failure(&mut self, failed: &Failure) {
        let Context { target: Some(target), upstream, .. } = &mut *self.context else { return };
        let Some((group, cause)) = target.group.as_deref().zip(failed.cause.as_ref()) else { return };
        // A connection that was idle may have been ended before the request came, as every one is at its time.
        let is_usual = self.upstream.was_reused() && cause.is_silent_end();
        if !is_usual && !balanced::is_late(group, upstream.started) {
            upstream.balanced.iter_mut().for_each(|balanced| balanced.failed(cause));
        }
    }

    /// The failure of an answer in whose place the upstream wants another attempt.
    fn unwanted(&mut self, answer: &Response) -> Option<Failure> {
        let status = answer.status.as_u16();
        let is_idempotent = self.incoming.request.method.is_idempotent();
        let balanced = self.context.upstream.balanced.as_mut()?;
        balanced.answered(status);
        let repeats =
            self.replay.is_complete() && balanced::retries_status(self.context, status, is_idempotent);
        repeats.then(|| UpstreamFailure::Status(status).into())
    }

    fn note_answer(&mut self) {
        let upstream = &mut self.context.upstream;
        upstream.waited = upstream.started.map(|started| started.elapsed());
        if self.forwarder.draining.has_begun() {
            self.incoming.client.close();
        }
    }

    fn begin_answer(&mut self, answer: &Response, edited: Option<&Answer>) {
        let head =
            AnswerHead { status: edited.map_or(answer.status, |edited| edited.status), ..head_of(answer) };
        self.begin(&head, answer, edited);
    }

    pub(super) fn begin(&mut self, head: &AnswerHead, answer: &Response, edited: Option<&Answer>) {
        self.context.answered = Some((head.status.as_u16(), Source::Upstream));
        // The upstream's reason belongs to the upstream's status alone.
        let changed =
            (head.status != answer.status).then(|| AnswerHead { reason: Bytes::new(), ..head.clone() });
        let head = changed.as_ref().unwrap_or(head);
        let mut notes = self.context.notes.take();
        let (context, incoming) = (&*self.context, &mut *self.incoming);
        let is_tls = incoming.ends.server_name.is_some();
        begin_answer(&mut incoming.client, &incoming.request, head, notes.as_deref_mut(), |sink| {
            write_fields(sink, answer, edited, context, is_tls)
        });
        self.context.notes = notes;
    }

    fn begin_tunnel(&mut self, answer: &Response, edited: Option<&Answer>) -> Result<(), Failure> {
        self.context.answered = Some((answer.status.as_u16(), Source::Upstream));
        let mut notes = self.context.notes.take();
        let (context, incoming) = (&*self.context, &mut *self.incoming);
        let is_tls = incoming.ends.server_name.is_some();
        let switched =
            switch_protocols(&mut incoming.client, &head_of(answer), notes.as_deref_mut(), |sink| {
                write_fields(sink, answer, edited, context, is_tls)
            });
        self.context.notes = notes;
        switched?;
        self.incoming.early.begin_tunnel();
        self.upstream.begin_tunnel();
        Ok(())
    }

    /// Whether trailers of the answer go on. Clients of HTTP/2 always take them.
    fn takes_trailers(&self) -> bool {
        let request = &self.incoming.request;
        request.version == http::Version::HTTP_2 || head::takes_trailers(request.early_headers())
    }

    /// Whether a body may be one side of a conversation, in which both sides pause.
    fn is_conversation(&self) -> bool {
        self.context.target.as_ref().is_some_and(|target| target.route.grpc)
    }

    /// Whether any failure of this attempt allows another one with the body.
    fn may_ever_repeat(&self) -> bool {
        let is_http2 = matches!(self.upstream, Upstream::Http2(_));
        let is_idempotent = self.incoming.request.method.is_idempotent();
        self.context.may_retry()
            && match &self.context.target.as_ref().and_then(|target| target.group.as_ref()) {
                Some(group) => is_idempotent || group.terms().retry.any_method || is_http2,
                None => is_http2 || is_idempotent && self.upstream.was_reused(),
            }
    }

    /// Whether another attempt can do no harm: only if the method is idempotent (RFC 9110, section 9.2.2) or
    /// the upstream did nothing. The body must still be at hand, and the connection may have been closed before
    /// the request came. `was_sent`: the request was sent to its end.
    fn may_repeat(&mut self, failed: &Failure, was_sent: bool) -> bool {
        let Some(cause) = &failed.cause else { return false };
        let is_idempotent = self.incoming.request.method.is_idempotent();
        if self.context.upstream.balanced.is_some() {
            return self.replay.is_complete()
                && balanced::may_retry(self.context, cause, is_idempotent, was_sent);
        }
        let is_harmless =
            cause.is_harmless() || is_idempotent && self.upstream.was_reused() && cause.is_silent_end();
        is_harmless && self.replay.is_complete() && self.context.may_retry()
    }
}

pub(super) fn head_of(answer: &Response) -> AnswerHead {
    AnswerHead {
        status: answer.status,
        reason: answer.reason.clone(),
        framing: answer.framing,
        length: answer.length,
    }
}
