//! What the service is sent: headers of the request, and fields that say what the client asks for.

use std::net::IpAddr;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    RANGE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// The headers that are never passed on. Those of one connection; those of the body, which the service is not
/// sent; conditions: an answer of 304 or 206 would be no decision; and codings: a refusal is passed on without its
/// own.
static KEPT_BACK: [HeaderName; 21] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HOST,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    ACCEPT_ENCODING,
    EXPECT,
    FORWARDED,
    RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
];
const FORWARDED_PREFIX: &str = "x-forwarded-";

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    /// Path and query as the client sent them.
    pub(super) target: &'a [u8],
    pub(super) client: IpAddr,
    pub(super) headers: &'a HeaderMap,
}

/// Whether a header may be passed to the service, or from it to an upstream.
pub(super) fn may_pass(name: &HeaderName) -> bool {
    !KEPT_BACK.contains(name) && !name.as_str().starts_with(FORWARDED_PREFIX)
}

/// The fields of the call; `None` when what the client asks for cannot stand in a header.
pub(super) fn fields(
    asked: &Asked<'_>,
    only: Option<&[HeaderName]>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let named: Vec<&str> = of_connection(asked.headers);
    let passes = |name: &HeaderName| {
        let is_named = named.iter().any(|one| one.eq_ignore_ascii_case(name.as_str()));
        only.is_none_or(|only| only.contains(name)) && may_pass(name) && !is_named
    };
    let passed = asked.headers.iter().filter(|(name, _)| passes(name));
    let mut fields: Vec<_> = passed.map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in [
        ("x-forwarded-method", asked.method.as_str().as_bytes()),
        ("x-forwarded-proto", asked.scheme.as_bytes()),
        ("x-forwarded-host", asked.host.as_bytes()),
        ("x-forwarded-uri", asked.target),
        ("x-forwarded-for", asked.client.to_string().as_bytes()),
    ] {
        fields.push((HeaderName::from_static(name), HeaderValue::from_bytes(value).ok()?));
    }
    Some(fields)
}

/// The names of further headers of the connection (RFC 9110, section 7.6.1).
fn of_connection(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[(&str, &str)], only: Option<&[HeaderName]>) -> Vec<String> {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        });
        let headers: HeaderMap = headers.collect();
        let asked = Asked {
            method: &Method::PUT,
            scheme: "https",
            host: "a.test:8443",
            target: b"/x?y=%20",
            client: [10, 0, 0, 1].into(),
            headers: &headers,
        };
        let fields = fields(&asked, only).unwrap();
        fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    const OWN: [&str; 5] = [
        "x-forwarded-method: PUT",
        "x-forwarded-proto: https",
        "x-forwarded-host: a.test:8443",
        "x-forwarded-uri: /x?y=%20",
        "x-forwarded-for: 10.0.0.1",
    ];

    #[test]
    fn headers_of_connection_body_and_spoofed_ones_stay_behind() {
        let headers = [
            ("authorization", "Bearer a"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("expect", "100-continue"),
            ("accept-encoding", "gzip"),
            ("if-none-match", "*"),
            ("upgrade", "websocket"),
            ("host", "a.test"),
            ("x-forwarded-for", "1.1.1.1"),
            ("X-Forwarded-User", "root"),
            ("forwarded", "for=1.1.1.1"),
            ("cookie", "a=1; b=2"),
        ];
        let mut expected = vec!["authorization: Bearer a", "cookie: a=1; b=2"];
        expected.extend(OWN);
        assert_eq!(sent(&headers, None), expected);
    }

    #[test]
    fn listed_headers_alone_are_sent() {
        let only = ["authorization", "x-none", "host"].map(HeaderName::from_static);
        let headers = [("authorization", "a"), ("authorization", "b"), ("cookie", "a=1"), ("host", "c")];
        let mut expected = vec!["authorization: a", "authorization: b"];
        expected.extend(OWN);
        assert_eq!(sent(&headers, Some(&only)), expected);
    }
}
