//! The gateway's own answers.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version};

use crate::client::{AnswerHead, Incoming, begin_answer};
use crate::context::Context;
use crate::error::{Body, Format, RequestFailure};
use crate::grpc;
use crate::message::{Digits, Framing, digits};
use crate::metrics::Source;
use crate::names::{self, Name};
use crate::request::{self, Trusted};

/// Value of `Allow`: the common methods. The gateway proxies every method except CONNECT.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";

/// An answer without its common fields.
#[derive(Debug, Default)]
struct Page {
    fields: Vec<(&'static Name, String)>,
    /// The protocol that is offered.
    upgrade: Option<&'static str>,
    /// The body; `None`: there is none, and no length is stated.
    body: Option<Bytes>,
}

/// Queues the answer to `failure` for the client.
pub(crate) fn respond(
    incoming: &mut Incoming,
    context: &mut Context,
    failure: RequestFailure,
    trusted: &Trusted,
) {
    let answer = failure.answer();
    let page = page(incoming, context, failure, trusted);
    let Incoming { request, client, .. } = incoming;
    let length = page.body.as_ref().map(|body| body.len() as u64);
    let body = page.body.filter(|_| request.method != Method::HEAD);
    let head = AnswerHead {
        status: answer.code(),
        reason: Bytes::new(),
        framing: body.as_ref().map_or(Framing::Empty, |body| Framing::Length(body.len() as u64)),
        length,
    };
    begin_answer(client, request, &head, |sink| {
        sink.fixed(&names::SERVER, names::SERVER_VALUE);
        sink.known(&names::RESPONSE_LATENCY, &milliseconds(context.started.elapsed()));
        sink.unique(&names::REQUEST_ID, context.request_id.as_bytes());
        page.fields.iter().for_each(|(name, value)| sink.known(name, value.as_bytes()));
        if let Some(protocol) = page.upgrade {
            sink.known(&names::UPGRADE, protocol.as_bytes());
            sink.received(b"Connection", b"Upgrade");
        }
        false
    });
    if let Some(body) = body {
        client.queue(body);
    }
    client.queue_end(None);
    context.answered = Some((answer.status, Source::Gateway));
}

fn page(incoming: &Incoming, context: &Context, failure: RequestFailure, trusted: &Trusted) -> Page {
    let (request, answer) = (&incoming.request, failure.answer());
    if grpc::is_request(request.version, &request.headers) {
        return Page { fields: grpc::outcome(&answer), ..Page::default() };
    }
    let mut page = Page::default();
    match failure {
        RequestFailure::HttpsRequired(426) => page.upgrade = Some("TLS/1.2, HTTP/1.1"),
        RequestFailure::Http2Required => page.upgrade = Some("HTTP/2"),
        RequestFailure::HttpsRequired(_) => {
            page.fields.push((&names::LOCATION, https_location(incoming, context, trusted)));
            page.body = Some(Bytes::new());
            return page;
        }
        RequestFailure::MethodNotAllowed => page.fields.push((&names::ALLOW, METHODS.to_owned())),
        _ => {}
    }
    // No protocol can be changed on a connection of HTTP/2.
    page.upgrade = page.upgrade.filter(|_| request.version != Version::HTTP_2);
    let format = Format::negotiate(&request.headers, answer.format);
    let body = Body::new(format, answer.message, context.request_id.as_str());
    page.fields.push((&names::CONTENT_TYPE, body.content_type.to_owned()));
    page.body = Some(body.text.into());
    page
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
