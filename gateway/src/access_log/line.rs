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
    let member = |out: &mut Vec<u8>, name: &str| {
        out.push(if out.is_empty() { b'{' } else { b',' });
        write_text(out, name.as_bytes());
        out.push(b':');
    };
    let text = |out: &mut Vec<u8>, name: &str, text: &[u8]| {
        member(out, name);
        write_text(out, text);
    };
    let number = |out: &mut Vec<u8>, name: &str, number: u64| {
        member(out, name);
        out.extend_from_slice(&digits(number));
    };
    let shown = |out: &mut Vec<u8>, name: &str, shown: &dyn Display| {
        member(out, name);
        write_display(out, &shown);
    };
    let time = |out: &mut Vec<u8>, name: &str, time: Duration| {
        member(out, name);
        write_milliseconds(out, time);
    };
    shown(out, "time", &Rfc3339(ended.started_at()));
    text(out, "id", ended.id().as_bytes());
    shown(out, "client", &ended.client_address());
    text(out, "method", ended.request.method.as_str().as_bytes());
    text(out, "scheme", ended.scheme().as_bytes());
    text(out, "host", ended.host().as_bytes());
    text(out, "uri", &redaction.target(ended.sent_target()));
    text(out, "version", version(ended.request.version).as_bytes());
    number(out, "status", ended.status().into());
    text(out, "source", if ended.is_from_upstream() { b"upstream" } else { b"gateway" });
    if let Some(reason) = ended.failure {
        text(out, "reason", reason.as_bytes());
    }
    number(out, "request_bytes", ended.request_bytes());
    number(out, "response_bytes", ended.answer_bytes());
    time(out, "duration", ended.took());
    time(out, "gateway", ended.before_upstream);
    if let Some(waited) = ended.waited {
        time(out, "upstream", waited);
    }
    if let Some(route) = ended.route {
        shown(out, "route", &route.id);
        if let Some(name) = &route.name {
            text(out, "route_name", name.as_bytes());
        }
    }
    if let Some(service) = ended.service {
        shown(out, "service", &service.id);
        if let Some(name) = &service.name {
            text(out, "service_name", name.as_bytes());
        }
        match &service.host {
            Host::Name(host) => text(out, "service_host", host.as_bytes()),
            Host::Address(host) => shown(out, "service_host", host),
        }
    }
    if let Some(consumer) = ended.consumer() {
        shown(out, "consumer", &consumer.id);
        if let Some(username) = &consumer.username {
            text(out, "consumer_username", username.as_bytes());
        }
    }
    if let Some(credential) = ended.credential() {
        shown(out, "credential", &credential.id);
    }
    if let Some(address) = ended.notes.tries.last().and_then(|last| last.address) {
        shown(out, "target", &address);
        number(out, "tries", ended.notes.tries.len() as u64);
    }
    for (name, field) in [("user_agent", "user-agent"), ("referer", "referer")] {
        if let Some(value) = ended.header(field) {
            text(out, name, value);
        }
    }
    member(out, "revision");
    write_signed(out, revision);
    out.push(b'}');
}

/// Writes the combined format of web servers.
pub(super) fn combined(out: &mut Vec<u8>, ended: &Ended<'_>, redaction: &Redactions<'_>) {
    let user = ended.consumer().and_then(|consumer| consumer.username.as_deref()).unwrap_or("-");
    let time = date(ended.started_at());
    // A vector takes everything.
    write!(out, "{} - ", ended.client_address()).ok();
    write_escaped(out, user.as_bytes(), true);
    write!(
        out,
        " [{:02}/{}/{}:{:02}:{:02}:{:02} +0000] \"",
        time.day(),
        MONTHS[usize::from(u8::from(time.month()) - 1) % 12],
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    )
    .ok();
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

/// Writes a text in which nothing ends its place: no quotation mark, and no control character.
fn write_escaped(out: &mut Vec<u8>, text: &[u8], is_word: bool) {
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
struct Rfc3339(Duration);

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
