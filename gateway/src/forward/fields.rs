//! Which fields go on, and which are for one hop alone (RFC 9110, section 7.6.1).

use super::nominated::Nominated;
use crate::client::Incoming;
use crate::context::Context;
use crate::message::{FieldSink, Fields};
use crate::names::{self, Name};
use crate::request::{Target, Trusted, forwarded};

/// Writes the fields of a request, without its host and its framing.
pub(super) fn write_request(
    sink: &mut dyn FieldSink,
    incoming: &Incoming,
    context: &Context,
    target: &Target,
    nominated: &Nominated<'_>,
    trusted: &Trusted,
) {
    // Where plugins run, they have been removed before.
    let takes_claims = context.plugins.is_some() || forwarded::takes_claims(&incoming.ends, trusted);
    let passes = |name: &[u8]| {
        !is_hop_by_hop(name)
            && !is_replaced(name)
            && !forwarded::is_ours(name)
            && (takes_claims || !forwarded::is_claim(name))
    };
    for (name, value) in incoming.request.sent_fields() {
        if passes(name) && !nominated.contains(name) {
            sink.received(name, value);
        }
    }
    // No client may have those removed that plugins have added.
    for (name, value) in incoming.request.added_fields().filter(|(name, _)| passes(name)) {
        sink.received(name, value);
    }
    // They say who sent the request: none is for one hop or replaced.
    sink.lines(incoming.request.late_fields());
    let ends = (&incoming.request, &*incoming.ends);
    forwarded::write(sink, ends, &context.canonical, &context.request_id, target, trusted);
    sink.fixed(&names::VIA, names::VIA_VALUE);
}

/// Writes the fields of an answer, without its framing and without the cookie that the gateway sets itself. Returns
/// whether it has a date.
pub(super) fn write_answer(sink: &mut dyn FieldSink, fields: &Fields, own_cookie: Option<&str>) -> bool {
    let connection = fields.iter().filter(|(name, _)| is(name, b"connection")).map(|(_, value)| value);
    let nominated = Nominated::of_answer(connection);
    let mut has_date = false;
    for (name, value) in fields.iter() {
        if !is_hop_by_hop(name)
            && !is(name, b"content-length")
            && !is_timing(name)
            && !nominated.contains(name)
            && own_cookie.is_none_or(|own| !sets_cookie(name, value, own))
        {
            has_date |= is(name, b"date");
            sink.received(name, value);
        }
    }
    has_date
}

/// Whether a field sets the cookie `wanted`.
fn sets_cookie(name: &[u8], value: &[u8], wanted: &str) -> bool {
    is(name, b"set-cookie")
        && value.trim_ascii().strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
}

/// Whether a field is about one connection.
fn is_hop_by_hop(name: &[u8]) -> bool {
    match name.len() {
        2 => is(name, b"te"),
        7 => is(name, b"upgrade"),
        10 => is(name, b"connection") || is(name, b"keep-alive"),
        16 => is(name, b"proxy-connection"),
        17 => is(name, b"transfer-encoding"),
        _ => false,
    }
}

/// Whether the gateway writes the field of a request in its own way, or never.
fn is_replaced(name: &[u8]) -> bool {
    match name.len() {
        4 => is(name, b"host"),
        // No field of HTTP. CGI programs would find it as `HTTP_PROXY`, and send their own requests to that
        // address (CVE-2016-5385).
        5 => is(name, b"proxy"),
        7 => is(name, b"trailer"),
        14 => is(name, b"content-length") || is(name, b"http2-settings"),
        18 => is(name, b"proxy-authenticate"),
        19 => is(name, b"proxy-authorization"),
        _ => false,
    }
}

/// Whether the gateway sets the field of an answer. An upstream that is a gateway itself has set it, too.
fn is_timing(name: &[u8]) -> bool {
    static TIMING: [&Name; 3] = [&names::REQUEST_ID, &names::PROXY_LATENCY, &names::UPSTREAM_LATENCY];
    matches!(name, [b'x' | b'X', b'-', b'k' | b'K', ..])
        && TIMING.iter().any(|timing| name.eq_ignore_ascii_case(timing.written.as_bytes()))
}

/// Whether a field may not be a trailer, where it would be read after it has been relied on (RFC 9110, section
/// 6.5.1): it frames, routes, authenticates, or is set by the gateway.
pub(super) fn is_reserved_trailer(name: &str) -> bool {
    const RESERVED: [&str; 17] = [
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authorization",
        "set-cookie",
        "trailer",
        "via",
        "www-authenticate",
        "x-real-ip",
    ];
    // The type of names allows a quotation mark, which no token has.
    name.contains('"')
        || is_hop_by_hop(name.as_bytes())
        || RESERVED.contains(&name)
        || forwarded::is_claim(name.as_bytes())
        || name.starts_with("x-forwarded-")
        || name.starts_with("x-kong-")
}

fn is(name: &[u8], lower: &[u8]) -> bool {
    name.eq_ignore_ascii_case(lower)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn an_answer_loses_what_is_for_one_hop() {
        let mut came = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("content-length", "5"),
            ("x-kong-proxy-latency", "1"),
            ("x-kong-other", "1"),
            ("set-cookie", "a=1"),
        ] {
            came.append(name, value.parse().unwrap());
        }
        let mut sink = BytesMut::new();
        assert!(!write_answer(&mut sink, &Fields::Map(came.clone()), None));
        assert_eq!(&sink[..], b"x-kong-other: 1\r\nset-cookie: a=1\r\n");
        let mut sink = BytesMut::new();
        write_answer(&mut sink, &Fields::Map(came), Some("a"));
        assert_eq!(&sink[..], b"x-kong-other: 1\r\n");
    }

    #[test]
    fn trailers_frame_route_and_authenticate_nothing() {
        for name in ["content-length", "te", "x-forwarded-for", "host", "x-kong-request-id", "x-consumer-id"]
        {
            assert!(is_reserved_trailer(name), "{name}");
        }
        for name in ["grpc-status", "x-checksum", "server-timing"] {
            assert!(!is_reserved_trailer(name), "{name}");
        }
    }
}
