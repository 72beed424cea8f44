//! The line of a request. Whatever a client sends, it is one line.

use std::fmt::{self, Display};
use std::io::Write;
use std::time::Duration;

use http::Version;
use time::OffsetDateTime;

use crate::json_text::{write_display, write_signed, write_text};
use crate::message::digits;
use crate::plugin::Ended;
use crate::redaction::Redactions;
use crate::upstream::Host;

/// The English names of months, as the combined format has them.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes one JSON object. Times are in milliseconds.
pub(super) fn json(out: &mut Vec<u8>, ended: &Ended<'_>, redaction: &Redactions<'_>, revision: i64) {
    let mut line = Line(out);
    line.shown("time", &Rfc3339(ended.started_at()));
    line.text("id", ended.id().as_bytes());
    line.shown("client", &ended.client_address());
    line.text("method", ended.request.method.as_str().as_bytes());
    line.text("scheme", ended.scheme().as_bytes());
    line.text("host", ended.host().as_bytes());
    line.text("uri", &redaction.target(ended.sent_target()));
    line.text("version", version(ended.request.version).as_bytes());
    line.number("status", ended.status().into());
    line.text("source", if ended.is_from_upstream() { b"upstream" } else { b"gateway" });
    if let Some(reason) = ended.failure {
        line.text("reason", reason.as_bytes());
    }
    line.number("request_bytes", ended.request_bytes());
    line.number("response_bytes", ended.answer_bytes());
    line.time("duration", ended.took());
    line.time("gateway", ended.before_upstream);
    if let Some(waited) = ended.waited {
        line.time("upstream", waited);
    }
    if let Some(route) = ended.route {
        line.shown("route", &route.id);
        if let Some(name) = &route.name {
            line.text("route_name", name.as_bytes());
        }
    }
    if let Some(service) = ended.service {
        line.shown("service", &service.id);
        if let Some(name) = &service.name {
            line.text("service_name", name.as_bytes());
        }
        match &service.host {
            Host::Name(host) => line.text("service_host", host.as_bytes()),
            Host::Address(host) => line.shown("service_host", host),
        }
    }
    if let Some(consumer) = ended.consumer() {
        line.shown("consumer", &consumer.id);
        if let Some(username) = consumer.username() {
            line.text("consumer_username", username.as_bytes());
        }
    }
    if let Some(credential) = ended.credential() {
        line.shown("credential", &credential.id);
    }
    if let Some(address) = ended.notes.tries.last().and_then(|last| last.address) {
        line.shown("target", &address);
        line.number("tries", ended.notes.tries.len() as u64);
    }
    for (name, field) in [("user_agent", "user-agent"), ("referer", "referer")] {
        if let Some(value) = ended.header(field) {
            line.text(name, value);
        }
    }
    line.signed("revision", revision);
    line.end();
}

/// A line of JSON, member by member.
pub(super) struct Line<'a>(pub(super) &'a mut Vec<u8>);

impl Line<'_> {
    fn member(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        write_text(self.0, name.as_bytes());
        self.0.push(b':');
    }

    pub(super) fn text(&mut self, name: &str, text: &[u8]) {
        self.member(name);
        write_text(self.0, text);
    }

    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.member(name);
        self.0.extend_from_slice(&digits(number));
    }

    pub(super) fn signed(&mut self, name: &str, number: i64) {
        self.member(name);
        write_signed(self.0, number);
    }

    pub(super) fn shown(&mut self, name: &str, shown: &dyn Display) {
        self.member(name);
        write_display(self.0, &shown);
    }

    fn time(&mut self, name: &str, time: Duration) {
        self.member(name);
        write_milliseconds(self.0, time);
    }

    pub(super) fn end(self) {
        self.0.push(b'}');
    }
}

/// Writes the combined format of web servers.
pub(super) fn combined(out: &mut Vec<u8>, ended: &Ended<'_>, redaction: &Redactions<'_>) {
    let user = ended.consumer().and_then(|consumer| consumer.username()).unwrap_or("-");
    // A vector takes everything.
    write!(out, "{} - ", ended.client_address()).ok();
    write_escaped(out, user.as_bytes(), true);
    out.push(b' ');
    write_date(out, ended.started_at());
    out.extend_from_slice(b" \"");
    write_escaped(out, ended.request.method.as_str().as_bytes(), false);
    out.push(b' ');
    write_escaped(out, &redaction.target(ended.sent_target()), false);
    write!(out, " {}\" {} {} \"", version(ended.request.version), ended.status(), ended.notes.answer_bytes)
        .ok();
    write_escaped(out, ended.header("referer").unwrap_or(b"-"), false);
    out.extend_from_slice(b"\" \"");
    write_escaped(out, ended.header("user-agent").unwrap_or(b"-"), false);
    out.push(b'"');
}

/// Writes a time since 1970 as the combined format does.
pub(super) fn write_date(out: &mut Vec<u8>, since_1970: Duration) {
    let time = date(since_1970);
    write!(
        out,
        "[{:02}/{}/{}:{:02}:{:02}:{:02} +0000]",
        time.day(),
        MONTHS[usize::from(u8::from(time.month()) - 1) % 12],
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    )
    .ok();
}

/// Writes a text in which nothing ends its place: no quotation mark, and no control character.
pub(super) fn write_escaped(out: &mut Vec<u8>, text: &[u8], is_word: bool) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' ' if !is_word => out.push(b' '),
            b'!'..=b'~' => out.push(*byte),
            byte => drop(write!(out, "\\x{byte:02x}")),
        }
    }
}

/// Writes milliseconds with three decimals.
fn write_milliseconds(out: &mut Vec<u8>, time: Duration) {
    let micros = time.as_micros();
    write!(out, "{}.{:03}", micros / 1000, micros % 1000).ok();
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn date(since_1970: Duration) -> OffsetDateTime {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A time since 1970, as RFC 3339 writes it.
pub(super) struct Rfc3339(pub(super) Duration);

impl Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = date(self.0);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            self.0.subsec_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_standard_says() {
        let time = Duration::from_millis(1_700_000_000_045);
        assert_eq!(Rfc3339(time).to_string(), "2023-11-14T22:13:20.045Z");
        let mut out = Vec::new();
        write_milliseconds(&mut out, Duration::from_micros(12_345));
        assert_eq!(out, b"12.345");
    }

    #[test]
    fn no_text_ends_its_place() {
        let mut out = Vec::new();
        write_escaped(&mut out, b"a \"b\\\n\xff", false);
        write_escaped(&mut out, b" ", true);
        assert_eq!(out, b"a \\\"b\\\\\\x0a\\xff\\x20");
    }
}
