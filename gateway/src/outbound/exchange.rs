//! One exchange of a call on one connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::timeout;

use super::{Call, CallAnswer, CallFailure};
use crate::message::Framing;
use crate::upstream::{RequestKind, Response, Upstream, UpstreamFailure};

/// The value of `User-Agent`, unless the fields of the call have one.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("gibbon/", env!("CARGO_PKG_VERSION")));
/// Bytes of a body that nobody wants, and the time for them: they are read so that the connection can be kept.
const MOST_UNWANTED: usize = 64 * 1024;
const UNWANTED_TIME: Duration = Duration::from_millis(50);

/// Sends the request of `call` and reads its answer.
pub(super) async fn run(mut upstream: Upstream, call: &Call<'_>) -> Result<CallAnswer, CallFailure> {
    begin(&mut upstream, call)?;
    let response = upstream.response().await?;
    let fields = fields(&response);
    let status = response.status;
    let Some(most) = call.max_answer else {
        let read = timeout(UNWANTED_TIME, body(&mut upstream, &response, MOST_UNWANTED)).await;
        if matches!(read, Ok(Ok(_))) {
            upstream.release();
        }
        return Ok(CallAnswer { status, fields, body: Bytes::new() });
    };
    let body = body(&mut upstream, &response, most).await?;
    upstream.release();
    Ok(CallAnswer { status, fields, body })
}

fn begin(upstream: &mut Upstream, call: &Call<'_>) -> Result<(), UpstreamFailure> {
    let Upstream::Http1(connection) = upstream else {
        // The terms of a destination say HTTP/1.
        return Err(UpstreamFailure::Invalid("a call needs HTTP/1".into()));
    };
    write_head(connection.head(), call);
    let framing = match call.body.len() {
        0 => Framing::Empty,
        length => Framing::Length(length as u64),
    };
    connection.begin(framing, RequestKind { is_head: call.method == Method::HEAD, asks_upgrade: false });
    if !call.body.is_empty() {
        connection.queue(call.body.clone());
        connection.queue_end(None);
    }
    Ok(())
}

fn write_head(text: &mut BytesMut, call: &Call<'_>) {
    text.reserve(512);
    for part in [call.method.as_str(), " ", call.destination.target(), " HTTP/1.1\r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    field(text, "host", call.destination.authority());
    let is_own = |name: &HeaderName| [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(name);
    for (name, value) in call.fields.iter().filter(|(name, _)| !is_own(name)) {
        field(text, name.as_str(), value);
    }
    if !call.fields.iter().any(|(name, _)| *name == USER_AGENT) {
        field(text, "user-agent", &AGENT);
    }
    let usually_has_body = matches!(call.method, Method::POST | Method::PUT | Method::PATCH);
    if usually_has_body || !call.body.is_empty() {
        field(text, "content-length", &call.body.len().into());
    }
    text.extend_from_slice(b"\r\n");
}

fn field(text: &mut BytesMut, name: &str, value: &HeaderValue) {
    for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        text.extend_from_slice(part);
    }
}

fn fields(response: &Response) -> HeaderMap {
    let typed = response.fields.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let mut fields = HeaderMap::new();
    for (name, value) in typed {
        fields.append(name, value);
    }
    fields
}

/// Reads the body, of at most `most` bytes.
async fn body(upstream: &mut Upstream, response: &Response, most: usize) -> Result<Bytes, CallFailure> {
    if response.length.is_some_and(|length| length > most as u64 && response.framing != Framing::Empty) {
        return Err(CallFailure::AnswerTooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(part) = upstream.part().await? {
        if body.len() + part.len() > most {
            return Err(CallFailure::AnswerTooLarge);
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}
