//! The gateway's own answers: to failures, and those of plugins.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Version};

use crate::client::{AnswerHead, Incoming, begin_answer};
use crate::context::Context;
use crate::error::{Body, Format, RequestFailure, status_of};
use crate::grpc;
use crate::message::{Digits, FieldName, FieldSink, Framing, digits};
use crate::metrics::Source;
use crate::names;
use crate::plugin::{self, Answer, Reply, ReplyBody, Surroundings};
use crate::request::{self, Trusted};

/// Value of `Allow`: the common methods. The gateway proxies every method except CONNECT and TRACE.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The most bytes of a reply that become the message of a call: clients bound the header of an answer.
const LONGEST_CALL_MESSAGE: usize = 1024;

/// An answer without its common fields.
#[derive(Debug)]
struct Page {
    status: u16,
    fields: Vec<(FieldName, HeaderValue)>,
    /// The protocol that is offered.
    upgrade: Option<&'static str>,
    /// The body; `None`: there is none, and no length is stated.
    body: Option<Bytes>,
    looks: Looks,
}

/// What the common fields of an answer say.
#[derive(Clone, Copy, Debug)]
enum Looks {
    /// That the gateway answers.
    Own,
    /// That an upstream answers.
    Proxied,
    /// That the gateway answers in place of an upstream that failed after this time.
    InPlace(Duration),
}

/// Queues the answer to `failure` for the client. Plugins see it.
pub(crate) fn respond(
    incoming: &mut Incoming,
    context: &mut Context,
    failure: RequestFailure,
    shared: (&Trusted, &std::sync::Arc<plugin::Shared>),
) {
    let page = of_failure(incoming, context, failure, shared.0);
    send(incoming, context, page, shared);
}

/// Queues the answer of a plugin for the client. Plugins see it.
pub(crate) fn reply(
    incoming: &mut Incoming,
    context: &mut Context,
    reply: Reply,
    shared: (&Trusted, &std::sync::Arc<plugin::Shared>),
) {
    let page = of_reply(incoming, context, reply);
    send(incoming, context, page, shared);
}

fn send(
    incoming: &mut Incoming,
    context: &mut Context,
    page: Page,
    (trusted, shared): (&Trusted, &std::sync::Arc<plugin::Shared>),
) {
    let is_head = incoming.request.is_head;
    let status = status_of(page.status);
    let mut answer = Answer::new(status, false, page.body.is_some() && !is_head);
    page.fields
        .iter()
        .for_each(|(name, value)| answer.fields.received(name.written().as_bytes(), value.as_bytes()));
    let mut body = page.body;
    let Context { plugins, canonical, request_id, target, started, .. } = &mut *context;
    if let Some(running) = plugins.as_deref_mut().filter(|running| running.changes_answer()) {
        let (target, started) = (target.as_ref(), *started);
        let around = Surroundings { canonical, request_id, target, started, trusted, shared };
        plugin::answer(incoming, &around, running, &mut answer);
        if let (Some(limit), Some(whole)) = (answer.wanted_body(), &mut body)
            && whole.len() <= limit
            && let Ok(changed) = plugin::whole_body(incoming, &around, running, &mut answer, whole.to_vec())
        {
            *whole = changed.into();
        }
    }
    let length = body.as_ref().map(|body| body.len() as u64);
    let body = body.filter(|body| !is_head && !body.is_empty());
    let head = AnswerHead {
        status: answer.status,
        reason: Bytes::new(),
        framing: body.as_ref().map_or(Framing::Empty, |body| Framing::Length(body.len() as u64)),
        length,
    };
    let Incoming { request, client, .. } = incoming;
    let taken = milliseconds(context.started.elapsed());
    let mut notes = context.notes.take();
    let write = |sink: &mut dyn FieldSink| {
        let has_date = answer.fields.has("date");
        if let Looks::Proxied = page.looks {
            answer.fields.iter().for_each(|(name, value)| sink.received(name, value));
            sink.fixed(&names::VIA, names::VIA_VALUE);
            sink.unique(&names::REQUEST_ID, context.request_id.as_bytes());
            sink.known(&names::PROXY_LATENCY, &taken);
            return has_date;
        }
        if !answer.fields.has("server") {
            sink.fixed(&names::SERVER, names::SERVER_VALUE);
        }
        if let Looks::InPlace(waited) = page.looks {
            sink.fixed(&names::VIA, names::VIA_VALUE);
            sink.known(&names::PROXY_LATENCY, &milliseconds(context.before_upstream()));
            sink.known(&names::UPSTREAM_LATENCY, &milliseconds(waited));
        } else {
            sink.known(&names::RESPONSE_LATENCY, &taken);
        }
        sink.unique(&names::REQUEST_ID, context.request_id.as_bytes());
        answer.fields.iter().for_each(|(name, value)| sink.received(name, value));
        if let Some(protocol) = page.upgrade {
            sink.known(&names::UPGRADE, protocol.as_bytes());
            sink.received(b"Connection", b"Upgrade");
        }
        has_date
    };
    begin_answer(client, request, &head, notes.as_deref_mut(), write);
    if let Some(body) = body {
        if let Some(notes) = &mut notes {
            notes.answer_bytes += body.len() as u64;
        }
        client.queue(body);
    }
    context.notes = notes;
    client.queue_end(None);
    context.answered = Some((answer.status.as_u16(), Source::Gateway));
}

fn of_failure(incoming: &Incoming, context: &Context, failure: RequestFailure, trusted: &Trusted) -> Page {
    let (request, answer) = (&incoming.request, failure.answer());
    let waited = context.upstream.waited.filter(|_| failure.is_of_upstream());
    let looks = waited.map_or(Looks::Own, Looks::InPlace);
    let mut page = Page { status: answer.status, fields: Vec::new(), upgrade: None, body: None, looks };
    if grpc::is_request(request.version, request.early_headers()) {
        page.fields = grpc::failure(answer.status, answer.message);
        return page;
    }
    match failure {
        RequestFailure::HttpsRequired(426) => page.upgrade = Some("TLS/1.2, HTTP/1.1"),
        RequestFailure::Http2Required => page.upgrade = Some("HTTP/2"),
        RequestFailure::HttpsRequired(_) => {
            let location = HeaderValue::try_from(https_location(incoming, context, trusted)).ok();
            page.fields.extend(location.map(|location| ((&names::LOCATION).into(), location)));
            page.body = Some(Bytes::new());
            return page;
        }
        RequestFailure::MethodNotAllowed => {
            page.fields.push(((&names::ALLOW).into(), HeaderValue::from_static(METHODS)));
        }
        _ => {}
    }
    // No protocol can be changed on a connection of HTTP/2.
    page.upgrade = page.upgrade.filter(|_| request.version != Version::HTTP_2);
    let format = Format::negotiate(request.early_headers(), answer.format);
    page.set_body(Body::new(format, answer.message, context.request_id.as_str()));
    page
}

fn of_reply(incoming: &Incoming, context: &Context, reply: Reply) -> Page {
    let Reply { status, fields, body, is_proxied, .. } = reply;
    let request = &incoming.request;
    let looks = if is_proxied { Looks::Proxied } else { Looks::Own };
    let mut page = Page { status, fields, upgrade: None, body: None, looks };
    if !is_proxied && grpc::is_request(request.version, request.early_headers()) {
        page.fields.extend(grpc::outcome(status, &call_message(&body)));
        return page;
    }
    match body {
        ReplyBody::Message(text) => {
            // Kong looks at the type of the request's own body for its core's messages alone.
            let format = Format::accepted(request.early_headers(), Format::Json);
            page.set_body(Body::new(format, &text, context.request_id.as_str()));
        }
        ReplyBody::Error(text) => {
            let format = Format::negotiate(request.early_headers(), Format::Text);
            page.set_body(Body::new(format, &text, context.request_id.as_str()));
        }
        ReplyBody::Exit(text) => page.set_body(Body::exit(&text)),
        ReplyBody::Raw(content_type, bytes) => {
            page.fields.extend(content_type.map(|value| ((&names::CONTENT_TYPE).into(), value)));
            page.body = Some(bytes);
        }
        ReplyBody::Empty => page.body = Some(Bytes::new()),
        ReplyBody::None => {}
    }
    if matches!(status, 204 | 304) || status < 200 {
        page.body = None;
    }
    page
}

/// The message of a reply to a gRPC call. Of bytes, which may be many, the beginning is shown.
fn call_message(body: &ReplyBody) -> Cow<'_, str> {
    match body {
        ReplyBody::Message(text) | ReplyBody::Error(text) | ReplyBody::Exit(text) => Cow::Borrowed(text),
        ReplyBody::Raw(_, bytes) => {
            String::from_utf8_lossy(bytes.get(..LONGEST_CALL_MESSAGE).unwrap_or(bytes))
        }
        ReplyBody::Empty | ReplyBody::None => Cow::Borrowed(""),
    }
}

impl Page {
    fn set_body(&mut self, body: Body) {
        self.fields.push(((&names::CONTENT_TYPE).into(), HeaderValue::from_static(body.content_type)));
        self.body = Some(body.text.into());
    }
}

/// The same address over HTTPS, at the protocol's own port.
fn https_location(incoming: &Incoming, context: &Context, trusted: &Trusted) -> String {
    let Incoming { request, ends, .. } = incoming;
    let host = request::client_host(request, ends, &context.canonical, trusted);
    let target = model::encode_uri(context.canonical.sent_target(request));
    format!("https://{host}{target}")
}

/// Whole milliseconds, like those in Kong's latency headers.
pub(crate) fn milliseconds(duration: Duration) -> Digits {
    digits(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
