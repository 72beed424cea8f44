//! Writes the entry of a request: Kong's names and forms.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{COOKIE, HOST};
use model::plugins::custom_field::CustomField;

use super::custom::{Fields, Find, Members};
use super::entities;
use super::fixed::{WORKSPACE, WORKSPACE_ID, milliseconds};
use super::json::Object;
use crate::client::Request;
use crate::json_text::{write_signed, write_text};
use crate::message::digits;
use crate::notes::Try;
use crate::plugin::correlation_id::CorrelationIdOfRequest;
use crate::plugin::ended::Ended;
use crate::redaction::{REDACTED, Redactions, decoded};

/// The most arguments of a query that an entry has; Kong's default.
const MOST_ARGUMENTS: usize = 100;

/// A value that a plugin adds to the entry of its request.
#[derive(Clone, Debug)]
pub(in crate::plugin) struct LogMember {
    /// The name.
    pub(in crate::plugin) name: &'static str,
    /// The value, as JSON.
    pub(in crate::plugin) json: String,
}

/// Finds the values of fields that an operator adds.
struct Values<'v>(&'v Ended<'v>);

/// Writes the entry of a request.
pub(super) fn write(ended: &Ended<'_>, custom: &Fields, redaction: &Redactions<'_>, out: &mut Vec<u8>) {
    let find = Values(ended);
    let mut entry = Object::begin(out, Members::of(custom));
    write_request(&mut entry, ended, redaction, &find);
    entry.text("upstream_uri", &redaction.target(&ended.notes.upstream_target));
    entry.text("upstream_status", upstream_status(&ended.notes.tries).as_bytes());
    if let Some(mut response) = entry.object("response") {
        response.number("status", ended.status().into());
        if let Some(mut headers) = response.object("headers") {
            let mut fields: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
            for (name, value) in ended.notes.answer.iter() {
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                fields.entry(name).or_default().push(value);
            }
            fields.iter().for_each(|(name, values)| write_values(&mut headers, name, values));
            headers.end(&find);
        }
        response.number("size", ended.answer_bytes());
        response.end(&find);
    }
    write_latencies(&mut entry, ended, &find);
    write_tries(&mut entry, ended);
    if let Some(credential) = ended.credential()
        && let Some(mut entity) = entry.object("authenticated_entity")
    {
        entity.display("id", &credential.id);
        if let Some(consumer) = &credential.consumer {
            entity.display("consumer_id", consumer);
        }
        entity.end(&find);
    }
    entities::write(&mut entry, ended, &find);
    entry.address("client_ip", ended.client_address());
    entry.number("started_at", milliseconds(ended.started_at()));
    entry.text("source", if ended.is_from_upstream() { b"upstream" } else { b"kong" });
    entry.display("workspace", &WORKSPACE_ID);
    entry.text("workspace_name", WORKSPACE.as_bytes());
    if let Some(id) = ended.kept::<CorrelationIdOfRequest>() {
        entry.text("correlation_id", id.0.as_bytes());
    }
    for member in ended.kept::<Vec<LogMember>>().into_iter().flatten() {
        if let Some(out) = entry.member(member.name) {
            out.extend_from_slice(member.json.as_bytes());
        }
    }
    entry.end(&find);
}

fn write_request(entry: &mut Object<'_>, ended: &Ended<'_>, redaction: &Redactions<'_>, find: &Values<'_>) {
    let Some(mut request) = entry.object("request") else { return };
    let target = redaction.target(ended.sent_target());
    request.text("id", ended.id().as_bytes());
    request.text("method", ended.request.method.as_str().as_bytes());
    request.text("uri", &target);
    let origin = format!("{}://{}:{}", ended.scheme(), ended.host(), ended.ends.server.port());
    request.text("url", &[origin.as_bytes(), &target].concat());
    if let Some(mut arguments) = request.object("querystring") {
        write_arguments(&mut arguments, &redaction.query(ended.query().unwrap_or_default()));
        arguments.end(find);
    }
    if let Some(mut headers) = request.object("headers") {
        write_headers(&mut headers, ended.request, redaction);
        headers.end(find);
    }
    request.number("size", ended.request_bytes());
    if ended.ends.server_name.is_some()
        && let Some(mut tls) = request.object("tls")
    {
        if let Some(session) = &ended.ends.tls {
            tls.text("version", session.version.as_bytes());
            tls.text("cipher", session.cipher.as_bytes());
        }
        tls.text("client_verify", b"NONE");
        tls.end(find);
    }
    request.end(find);
}

fn write_headers(object: &mut Object<'_>, request: &Request, redaction: &Redactions<'_>) {
    let headers = request.headers();
    // HTTP/2 has it apart from the fields.
    if let Some(host) = request.authority.as_deref().filter(|_| !headers.contains_key(HOST)) {
        object.text(HOST.as_str(), host);
    }
    for name in headers.keys() {
        if redaction.hides_field(name.as_str()) {
            object.text(name.as_str(), REDACTED);
            continue;
        }
        let values = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
        if *name == COOKIE {
            let shown: Vec<_> = values.map(|value| redaction.cookies(value)).collect();
            let shown: Vec<_> = shown.iter().map(|value| &**value).collect();
            write_values(object, name.as_str(), &shown);
        } else {
            write_values(object, name.as_str(), &values.collect::<Vec<_>>());
        }
    }
}

/// One value is a text, several are an array.
fn write_values(object: &mut Object<'_>, name: &str, values: &[&[u8]]) {
    match values {
        [one] => object.text(name, one),
        several => object.texts(name, several.iter().copied()),
    }
}

/// The name of an argument, and its values; `None` for one without.
type Argument = (Vec<u8>, Vec<Option<Vec<u8>>>);

/// The arguments of a query: each is a text, true without a value, or an array.
fn write_arguments(object: &mut Object<'_>, query: &[u8]) {
    let mut all: Vec<Argument> = Vec::new();
    let arguments = query.split(|byte| *byte == b'&').filter(|argument| !argument.is_empty());
    for argument in arguments.take(MOST_ARGUMENTS) {
        let (name, value) = match memchr::memchr(b'=', argument) {
            Some(end) => (decoded(&argument[..end]), Some(decoded(&argument[end + 1..]))),
            None => (decoded(argument), None),
        };
        match all.iter_mut().find(|(other, _)| *other == name) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    for (name, values) in &all {
        let Some(out) = object.member(&String::from_utf8_lossy(name)) else { continue };
        if let [one] = &values[..] {
            write_argument(out, one.as_deref());
            continue;
        }
        out.push(b'[');
        for (number, value) in values.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_argument(out, value.as_deref());
        }
        out.push(b']');
    }
}

fn write_argument(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => write_text(out, value),
        None => out.extend_from_slice(b"true"),
    }
}

fn write_latencies(entry: &mut Object<'_>, ended: &Ended<'_>, find: &Values<'_>) {
    let Some(mut latencies) = entry.object("latencies") else { return };
    let received = ended.notes.received.unwrap_or_default();
    latencies.number("request", milliseconds(ended.took()));
    latencies.number("kong", milliseconds(ended.kong_latency()));
    let proxied = ended.waited.map(|waited| i64::try_from(milliseconds(waited)).unwrap_or(i64::MAX));
    latencies.signed("proxy", proxied.unwrap_or(-1));
    latencies.number("receive", milliseconds(received));
    latencies.end(find);
}

/// The attempts. As in Kong, there is an empty list where a route was found, and a plugin answered.
fn write_tries(entry: &mut Object<'_>, ended: &Ended<'_>) {
    if ended.route.is_none() {
        return;
    }
    let Some(out) = entry.member("tries") else { return };
    let tries = &ended.notes.tries;
    // After it, no other attempt may follow.
    let are_used_up = ended.service.is_some_and(|service| tries.len() > usize::from(service.retries));
    let last = tries.last().filter(|_| are_used_up);
    out.push(b'[');
    for (number, one) in asked(tries).enumerate() {
        if number > 0 {
            out.push(b',');
        }
        let is_last = last.is_some_and(|last| std::ptr::eq(last, one));
        write_try(out, ended, one, is_last && one.code.is_some_and(|code| code >= 500));
    }
    out.push(b']');
}

/// The attempts that had an address to ask.
fn asked(tries: &[Try]) -> impl Iterator<Item = &Try> {
    tries.iter().filter(|one| one.address.is_some())
}

fn write_try(out: &mut Vec<u8>, ended: &Ended<'_>, one: &Try, has_failed_for_good: bool) {
    let begun = ended.at(one.begun);
    out.extend_from_slice(b"{\"balancer_start\":");
    out.extend_from_slice(&digits(milliseconds(begun)));
    out.extend_from_slice(b",\"balancer_start_ns\":");
    out.extend_from_slice(&digits(nanoseconds(begun)));
    out.extend_from_slice(b",\"balancer_latency\":");
    out.extend_from_slice(&digits(milliseconds(one.connected)));
    out.extend_from_slice(b",\"balancer_latency_ns\":");
    out.extend_from_slice(&digits(nanoseconds(one.connected)));
    if let Some(address) = one.address {
        out.extend_from_slice(b",\"ip\":");
        write_text(out, address.ip().to_string().as_bytes());
        out.extend_from_slice(b",\"port\":");
        out.extend_from_slice(&digits(address.port().into()));
    }
    if one.is_failed || has_failed_for_good {
        out.extend_from_slice(b",\"state\":\"failed\"");
        if let Some(code) = one.code {
            out.extend_from_slice(b",\"code\":");
            out.extend_from_slice(&digits(code.into()));
        }
    }
    out.push(b'}');
}

/// The statuses of all attempts, as `502, 200`.
fn upstream_status(tries: &[Try]) -> String {
    let codes: Vec<_> = asked(tries).filter_map(|one| Some(one.code?.to_string())).collect();
    codes.join(", ")
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Find for Values<'_> {
    fn write(&self, wanted: &CustomField, out: &mut Vec<u8>) -> bool {
        let ended = self.0;
        let consumer = ended.consumer();
        let text = match wanted {
            CustomField::Remove => None,
            CustomField::Text(text) => Some(text.as_bytes().to_vec()),
            CustomField::Number(number) => return write_number(out, *number),
            CustomField::Boolean(value) => {
                out.extend_from_slice(if *value { b"true" } else { b"false" });
                return true;
            }
            CustomField::RequestHeader(name) => ended.header(name).map(<[u8]>::to_vec),
            CustomField::AnswerHeader(name) => ended.notes.answer.get(name).map(<[u8]>::to_vec),
            CustomField::QueryArgument(name) => {
                ended.query().and_then(|query| argument(query, name.as_bytes()))
            }
            CustomField::Method => Some(ended.request.method.as_str().as_bytes().to_vec()),
            CustomField::Path => ended.sent_target().split(|byte| *byte == b'?').next().map(<[u8]>::to_vec),
            CustomField::Host => Some(ended.host().as_bytes().to_vec()),
            CustomField::ClientAddress => Some(ended.client_address().to_string().into_bytes()),
            CustomField::Status => {
                out.extend_from_slice(&digits(ended.status().into()));
                return true;
            }
            CustomField::RequestId => Some(ended.id().as_bytes().to_vec()),
            CustomField::ConsumerId => consumer.map(|consumer| consumer.id.to_string().into_bytes()),
            CustomField::ConsumerUsername => {
                consumer.and_then(|consumer| Some(consumer.username()?.as_bytes().to_vec()))
            }
            CustomField::ConsumerCustomId => {
                consumer.and_then(|consumer| Some(consumer.custom_id()?.as_bytes().to_vec()))
            }
        };
        text.as_deref().map(|text| write_text(out, text)).is_some()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number within the range of the type")]
fn write_number(out: &mut Vec<u8>, number: f64) -> bool {
    /// Whole numbers up to here are exact as floating point.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        write_signed(out, number as i64);
    } else {
        out.extend_from_slice(number.to_string().as_bytes());
    }
    true
}

/// The first argument of a query with this name.
fn argument(query: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut arguments = query.split(|byte| *byte == b'&').filter_map(|argument| {
        let end = memchr::memchr(b'=', argument)?;
        Some((decoded(&argument[..end]), &argument[end + 1..]))
    });
    arguments.find(|(other, _)| other == name).map(|(_, value)| decoded(value))
}
