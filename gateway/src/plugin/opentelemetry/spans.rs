//! The spans of a request: Kong's names and attributes.

use std::time::Duration;

use http::Version;

use super::Traced;
use super::context::SpanId;
use super::otlp::{
    AnyValue, KIND_CLIENT, KIND_INTERNAL, KIND_SERVER, KeyValue, LogRecord, SEVERITY_INFO, STATUS_ERROR,
    Span, Status,
};
use crate::notes::Try;
use crate::plugin::Ended;
use crate::upstream::Host;

/// The spans of a request: its own, and those of the attempts to have an upstream answer it.
pub(super) fn of(traced: &Traced, ended: &Ended<'_>) -> Vec<Span> {
    let mut spans = vec![root(traced, ended)];
    if let (Some((begun, took)), Some(host)) = (ended.notes.looked_up, name_of_host(ended)) {
        let begun = ended.at(begun);
        let mut span = span(traced, SpanId::random(), traced.root, "kong.dns", KIND_INTERNAL);
        (span.start_time_unix_nano, span.end_time_unix_nano) =
            (nanoseconds(begun), nanoseconds(begun + took));
        span.attributes = vec![KeyValue::text("dns.record.domain", host)];
        spans.push(span);
    }
    let last = ended.notes.tries.len();
    let attempts = ended.notes.tries.iter().zip(1..);
    spans.extend(attempts.map(|(one, number)| attempt(traced, ended, one, number, number == last)));
    spans
}

fn root(traced: &Traced, ended: &Ended<'_>) -> Span {
    let target = String::from_utf8_lossy(ended.sent_target());
    let path = target.split('?').next().unwrap_or_default();
    let (scheme, host) = (ended.scheme(), ended.host());
    // Without the query: it may hold keys.
    let url = format!("{scheme}://{host}{path}");
    let mut attributes = vec![
        KeyValue::text("http.method", ended.request.method.as_str()),
        KeyValue::text("http.url", url),
        KeyValue::text("http.host", host),
        KeyValue::text("http.scheme", scheme),
        KeyValue::text("http.flavor", flavor(ended.request.version)),
        KeyValue::text("http.client_ip", ended.client_address().to_string()),
        KeyValue::text("net.peer.ip", ended.ends.client.ip().to_string()),
        KeyValue::text("kong.request.id", ended.id()),
        KeyValue::integer("http.status_code", ended.status()),
    ];
    if let Some(path) = ended.route.and_then(|route| route.paths().next()) {
        attributes.push(KeyValue::text("http.route", path));
    }
    let parent = traced.parent.map_or(Vec::new(), |parent| parent.0.to_vec());
    Span {
        parent_span_id: parent,
        start_time_unix_nano: nanoseconds(ended.started_at()),
        end_time_unix_nano: nanoseconds(ended.now_at),
        attributes,
        status: (ended.status() >= 500).then(|| failed(ended.failure.unwrap_or_default())),
        ..span(traced, traced.root, traced.root, "kong", KIND_SERVER)
    }
}

fn attempt(traced: &Traced, ended: &Ended<'_>, one: &Try, number: usize, is_last: bool) -> Span {
    let id = if is_last { traced.upstream } else { SpanId::random() };
    let mut attributes = vec![KeyValue::integer("try_count", i64::try_from(number).unwrap_or(i64::MAX))];
    if let Some(address) = one.address {
        attributes.push(KeyValue::text("net.peer.ip", address.ip().to_string()));
        attributes.push(KeyValue::integer("net.peer.port", address.port()));
    }
    attributes.extend(name_of_host(ended).map(|host| KeyValue::text("net.peer.name", host)));
    if let Some(code) = one.code.filter(|_| one.is_failed) {
        attributes.push(KeyValue::integer("http.status_code", code));
    }
    // The last one ends with the body of its answer.
    let end = one.ended.filter(|_| !is_last).map_or(ended.now_at, |end| ended.at(end));
    Span {
        start_time_unix_nano: nanoseconds(ended.at(one.begun)),
        end_time_unix_nano: nanoseconds(end),
        attributes,
        status: one.is_failed.then(|| failed("")),
        ..span(traced, id, traced.root, "kong.balancer", KIND_CLIENT)
    }
}

/// The record of a request for a collector of logs: `entry` is its entry.
pub(super) fn record(traced: &Traced, ended: &Ended<'_>, entry: String) -> LogRecord {
    LogRecord {
        time_unix_nano: nanoseconds(ended.started_at()),
        observed_time_unix_nano: nanoseconds(ended.now_at),
        severity_number: SEVERITY_INFO,
        severity_text: "INFO".to_owned(),
        body: Some(AnyValue::text(entry)),
        attributes: vec![
            KeyValue::text("kong.request.id", ended.id()),
            KeyValue::boolean("kong.from_upstream", ended.is_from_upstream()),
        ],
        flags: traced.is_sampled.into(),
        trace_id: traced.trace.0.to_vec(),
        span_id: traced.root.0.to_vec(),
    }
}

fn span(traced: &Traced, id: SpanId, parent: SpanId, name: &str, kind: i32) -> Span {
    Span {
        trace_id: traced.trace.0.to_vec(),
        span_id: id.0.to_vec(),
        parent_span_id: parent.0.to_vec(),
        name: name.to_owned(),
        kind,
        ..Span::default()
    }
}

fn failed(message: &str) -> Status {
    Status { message: message.to_owned(), code: STATUS_ERROR }
}

fn name_of_host(ended: &Ended<'_>) -> Option<String> {
    match &ended.service?.host {
        Host::Name(name) => Some(name.to_string()),
        Host::Address(_) => None,
    }
}

fn flavor(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        _ => "1.1",
    }
}

fn nanoseconds(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}
