//! Writes the gateway's own answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, SERVER, UPGRADE};
use http::{HeaderValue, Method};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;

use crate::context::Context;
use crate::error::{Answer, Body, Format, RequestFailure};
use crate::grpc;
use crate::metrics::Source;
use crate::request::{self, Trusted, names};

/// Value of the `Server` field.
pub(crate) const SERVER_NAME: HeaderValue = HeaderValue::from_static(concat!("gibbon/", env!("CARGO_PKG_VERSION")));

/// Value of `Allow`: the common methods. The gateway proxies every method except CONNECT.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE");

/// Answers `failure`, unless the client is gone or has received the header of another response.
///
/// # Errors
/// When the write to the client fails.
pub async fn respond(
    session: &mut Session,
    context: &mut Context,
    failure: RequestFailure,
    trusted: &Trusted,
) -> Result<()> {
    let written = session.response_written();
    if failure == RequestFailure::ClientClosed
        || written.is_some_and(|header| !header.status.is_informational())
    {
        return Ok(());
    }
    context.answered_by = Source::Gateway;
    let (header, body) = response(session, context, failure, trusted)?;
    let body = body.filter(|_| session.req_header().method != Method::HEAD);
    session.write_response_header(Box::new(header), body.is_none()).await?;
    match body {
        Some(body) => session.write_response_body(Some(body), true).await,
        None => session.as_downstream_mut().finish_body().await,
    }
}

/// Answers a `failure` to read a request's header: nothing is known about the request.
///
/// # Errors
/// When the write to the client fails.
pub async fn refuse(session: &mut ServerSession, failure: RequestFailure) -> Result<()> {
    let (context, answer) = (Context::new(), failure.answer());
    let mut header = head(&context, &answer)?;
    let body = Body::new(answer.format, answer.message, context.request_id());
    set_body(&mut header, &body)?;
    session.write_error_response(header, body.text.into()).await
}

fn response(
    session: &Session,
    context: &Context,
    failure: RequestFailure,
    trusted: &Trusted,
) -> Result<(ResponseHeader, Option<Bytes>)> {
    let answer = failure.answer();
    let mut header = head(context, &answer)?;
    if grpc::is_request(session.req_header()) {
        grpc::tell(&mut header, &answer)?;
        return Ok((header, None));
    }
    match failure {
        RequestFailure::HttpsRequired(426) => offer(session, &mut header, "TLS/1.2, HTTP/1.1")?,
        RequestFailure::Http2Required => offer(session, &mut header, "HTTP/2")?,
        RequestFailure::HttpsRequired(_) => {
            header.insert_header(LOCATION, https_location(session, context, trusted))?;
            header.insert_header(CONTENT_LENGTH, HeaderValue::from(0))?;
            return Ok((header, None));
        }
        RequestFailure::MethodNotAllowed => header.insert_header(ALLOW, METHODS)?,
        _ => {}
    }
    let format = Format::negotiate(&session.req_header().headers, answer.format);
    let body = Body::new(format, answer.message, context.request_id());
    set_body(&mut header, &body)?;
    Ok((header, Some(body.text.into())))
}

/// Names the required protocol, if the connection can change its protocol at all.
fn offer(session: &Session, header: &mut ResponseHeader, protocol: &'static str) -> Result<()> {
    if !session.is_http2() {
        header.insert_header(UPGRADE, HeaderValue::from_static(protocol))?;
        // After the other fields, where Pingora does not replace it by its own.
        header.append_known(&names::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    Ok(())
}

fn head(context: &Context, answer: &Answer) -> Result<ResponseHeader> {
    let mut header = ResponseHeader::build(answer.status, Some(8))?;
    header.insert_header(SERVER, SERVER_NAME)?;
    header.insert_header("X-Kong-Response-Latency", milliseconds(context.started.elapsed()))?;
    header.insert_header("X-Kong-Request-Id", &context.request_id)?;
    Ok(header)
}

fn set_body(header: &mut ResponseHeader, body: &Body) -> Result<()> {
    header.insert_header(CONTENT_TYPE, HeaderValue::from_static(body.content_type))?;
    header.insert_header(CONTENT_LENGTH, HeaderValue::from(body.text.len()))
}

/// The same address over HTTPS, at the protocol's own port.
fn https_location(session: &Session, context: &Context, trusted: &Trusted) -> String {
    let header = session.req_header();
    let host = request::client_host(session, &context.canonical, trusted);
    let target = wire::encode_uri(context.canonical.sent_target(header));
    format!("https://{host}{target}")
}

/// Whole milliseconds, like those in Kong's latency headers.
pub fn milliseconds(duration: Duration) -> HeaderValue {
    match duration.as_millis() {
        // Avoids an allocation for nearly every request.
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        more => HeaderValue::from(u64::try_from(more).unwrap_or(u64::MAX)),
    }
}
