//! The line of a request that was answered before the proxy saw it.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::line::{Line, write_date, write_escaped};
use crate::client::Refused;

/// Writes one JSON object.
pub(super) fn json(out: &mut Vec<u8>, client: IpAddr, refused: &Refused<'_>, revision: i64) {
    let mut line = Line(out);
    line.shown("time", &super::line::Rfc3339(now()));
    line.text("id", refused.id.as_bytes());
    line.shown("client", &client);
    line.text("request", &refused.request);
    line.number("status", refused.status.into());
    line.text("source", b"gateway");
    line.text("reason", refused.reason.as_bytes());
    line.number("response_bytes", refused.answer_bytes);
    line.signed("revision", revision);
    line.end();
}

/// Writes the combined format of web servers.
pub(super) fn combined(out: &mut Vec<u8>, client: IpAddr, refused: &Refused<'_>) {
    // A vector takes everything.
    write!(out, "{client} - - ").ok();
    write_date(out, now());
    out.extend_from_slice(b" \"");
    write_escaped(out, &refused.request, false);
    write!(out, "\" {} {} \"-\" \"-\"", refused.status, refused.answer_bytes).ok();
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
