//! The answer of an upstream on its way through the plugins of its request.

use std::future::poll_fn;
use std::task::{Context as Task, Poll};

use bytes::Bytes;
use http::StatusCode;

use super::Failure;
use super::answer_fields::write_upstream_fields;
use super::exchange::{Attempt, head_of};
use super::pump::{Noted, Pump, Side};
use super::taps::Taps;
use crate::client::AnswerHead;
use crate::context::Context;
use crate::error::RequestFailure;
use crate::message::Framing;
use crate::plugin::{self, Answer, Phases, Surroundings};
use crate::upstream::Response;

impl Attempt<'_> {
    /// Lets the plugins look at the header of the answer; `None` when no plugin does.
    pub(super) fn edit(&mut self, answer: &Response) -> Option<Box<Answer>> {
        self.context.plugins.as_ref().filter(|running| running.has(Phases::ANSWER))?;
        let request = &self.incoming.request;
        let has_body = !request.is_head
            && answer.framing != Framing::Empty
            && answer.status != StatusCode::SWITCHING_PROTOCOLS;
        let mut edited = Box::new(Answer::new(answer.status, true, has_body));
        let is_tls = self.incoming.ends.server_name.is_some();
        write_upstream_fields(&mut edited.fields, answer, self.context, is_tls);
        self.with_plugins(|incoming, around, running| plugin::answer(incoming, around, running, &mut edited));
        if answer.status == StatusCode::SWITCHING_PROTOCOLS && !edited.is_refused() {
            edited.status = answer.status;
        }
        Some(edited)
    }

    /// Reads the whole body of the answer, of at most `limit` bytes, while the request goes on.
    pub(super) async fn whole_body(&mut self, upload: &mut Pump, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        poll_fn(|task| self.poll_whole(upload, limit, &mut body, task)).await?;
        Ok(body)
    }

    fn poll_whole(
        &mut self,
        upload: &mut Pump,
        limit: usize,
        body: &mut Vec<u8>,
        task: &mut Task<'_>,
    ) -> Poll<Result<(), Failure>> {
        self.poll_upload(upload, task)?;
        loop {
            let Poll::Ready(part) = Side::poll_body(&mut self.upstream, task)? else {
                self.poll_gone(upload, task)?;
                return Poll::Pending;
            };
            match part {
                Some(part) if body.len() + part.len() > limit => {
                    return Poll::Ready(Err(RequestFailure::AnswerTooLarge.into()));
                }
                Some(part) => body.extend_from_slice(&part),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Lets the plugins change the whole body, and queues the answer.
    pub(super) fn answer_whole(
        &mut self,
        answer: &Response,
        edited: &mut Answer,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let changed = self.with_plugins(|incoming, around, running| {
            plugin::whole_body(incoming, around, running, edited, body)
        });
        let body = Bytes::from(changed.unwrap_or_else(|| Ok(Vec::new()))?);
        let framing = if body.is_empty() { Framing::Empty } else { Framing::Length(body.len() as u64) };
        let length = Some(body.len() as u64);
        let head = AnswerHead { status: edited.status, framing, length, ..head_of(answer) };
        self.begin(&head, answer, Some(edited));
        if let Some(notes) = &mut self.context.notes {
            notes.answer_bytes += body.len() as u64;
        }
        let mut taps = Taps::of(Some(edited));
        if !body.is_empty() {
            taps.note(&Noted::Part(&body));
            self.incoming.client.queue(body);
        }
        taps.end(true);
        let trailers = self.upstream.take_trailers();
        self.incoming.client.queue_end(trailers.filter(|_| head.framing != Framing::Empty));
        Ok(())
    }

    /// Queues an answer without the upstream's body, whose rest is not read.
    pub(super) fn answer_empty(&mut self, answer: &Response, edited: &Answer) {
        let (status, framing) = (edited.status, Framing::Empty);
        self.begin(&AnswerHead { status, framing, length: Some(0), ..head_of(answer) }, answer, Some(edited));
        self.incoming.client.queue_end(None);
    }

    fn with_plugins<R>(
        &mut self,
        run: impl FnOnce(&mut crate::client::Incoming, &Surroundings<'_>, &mut plugin::Running) -> R,
    ) -> Option<R> {
        let Context { plugins, canonical, request_id, target, started, .. } = &mut *self.context;
        let (trusted, shared) = (&self.forwarder.trusted, &self.forwarder.shared);
        let (target, started) = (target.as_ref(), *started);
        let around = Surroundings { canonical, request_id, target, started, trusted, shared };
        plugins.as_deref_mut().map(|running| run(self.incoming, &around, running))
    }
}
