//! The fields that the gateway sets, forwards and removes, towards the upstream and towards the client.

use model::{Route, Service};
use testkit::http::Request;
use testkit::origin::{Answer, Origin};

use crate::support::{Gateway, route, service};

type Fields = &'static [(&'static str, &'static str)];

/// The upstream gets one field of this name with this value, or none.
type Expected = &'static [(&'static str, Option<&'static str>)];

/// `{listener}` stands for the gateway's port.
const UNTRUSTED: [(Fields, Expected); 5] = [
    (
        &[],
        &[
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-real-ip", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("shop.example")),
            ("x-forwarded-port", Some("{listener}")),
            ("x-forwarded-path", Some("/a/b")),
            ("x-forwarded-prefix", Some("/a")),
        ],
    ),
    // Overwritten, except the chain, which is extended.
    (
        &[
            ("X-Forwarded-For", "10.1.1.1"),
            ("x-forwarded-for", "10.2.2.2, unknown"),
            ("X-Real-IP", "10.1.1.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "forged.example"),
            ("X-Forwarded-Port", "1"),
            ("X-Forwarded-Path", "/forged"),
            ("X-Forwarded-Prefix", "/forged"),
        ],
        &[
            ("x-forwarded-for", Some("10.1.1.1, 10.2.2.2, unknown, 127.0.0.1")),
            ("x-real-ip", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("shop.example")),
            ("x-forwarded-port", Some("{listener}")),
            ("x-forwarded-path", Some("/a/b")),
            ("x-forwarded-prefix", Some("/a")),
        ],
    ),
    // Hop-by-hop fields.
    (
        &[
            ("Connection", "keep-alive, x-hop"),
            ("connection", "X-Other"),
            ("X-Hop", "1"),
            ("X-Other", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic eA=="),
            ("TE", "trailers, gzip"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ("X-End", "1"),
        ],
        &[
            ("x-hop", None),
            ("x-other", None),
            ("keep-alive", None),
            ("proxy-connection", None),
            ("proxy-authorization", None),
            // Trailers are passed on.
            ("te", Some("trailers")),
            ("connection", Some("TE")),
            ("upgrade", None),
            ("http2-settings", None),
            ("x-end", Some("1")),
        ],
    ),
    // Must not become HTTP_PROXY.
    (&[("Proxy", "http://evil.example"), ("X-Proxy", "1")], &[("proxy", None), ("x-proxy", Some("1"))]),
    (&[("X-Kong-Request-Id", "forged")], &[("x-kong-request-id", Some("{id}"))]),
];

const TRUSTED: [(Fields, Expected); 4] = [
    (
        &[
            ("X-Forwarded-For", "10.1.1.1"),
            ("X-Real-IP", "10.1.1.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "front.example"),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Path", "/front"),
            ("X-Forwarded-Prefix", "/f"),
        ],
        &[
            ("x-forwarded-for", Some("10.1.1.1, 127.0.0.1")),
            ("x-real-ip", Some("10.1.1.1")),
            ("x-forwarded-proto", Some("https")),
            ("x-forwarded-host", Some("front.example")),
            ("x-forwarded-port", Some("443")),
            ("x-forwarded-path", Some("/front")),
            ("x-forwarded-prefix", Some("/f")),
        ],
    ),
    // Missing and invalid values are replaced.
    (
        &[("X-Forwarded-Proto", "https"), ("X-Real-IP", "nobody")],
        &[
            ("x-forwarded-proto", Some("https")),
            ("x-real-ip", Some("127.0.0.1")),
            ("x-forwarded-host", Some("shop.example")),
            ("x-forwarded-port", Some("{listener}")),
            ("x-forwarded-prefix", Some("/a")),
        ],
    ),
    // The peer says who the client is, and has begun no chain.
    (&[("X-Real-IP", "10.1.1.1")], &[("x-forwarded-for", Some("10.1.1.1")), ("x-real-ip", Some("10.1.1.1"))]),
    // The request id of the log is the gateway's own.
    (&[("X-Kong-Request-Id", "front")], &[("x-kong-request-id", Some("{id}"))]),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_gets_the_fields_that_it_should() {
    let origin = Origin::start();
    for (trusted_ips, table) in [("", &UNTRUSTED[..]), ("127.0.0.0/8", &TRUSTED[..])] {
        let gateway = Gateway::with(&[("proxy.trusted_ips", trusted_ips)]);
        gateway.serve(service(1, &origin), route(1, "/a"));
        for (sent, expected) in table {
            let request =
                Request::new("GET", "/a/b?c").header("Host", "Shop.Example:8000").header("Via", "1.0 before");
            let request = sent.iter().fold(request, |request, (name, value)| request.header(name, value));
            let response = gateway.client.send(&request).await.unwrap().expect(200);
            let id = response.header("x-kong-request-id").unwrap();
            let port = gateway.address().port().to_string();
            let received = origin.last();
            let via: Vec<_> = received.header_values("via").collect();
            assert_eq!(via, ["1.0 before", gateway::names::VIA_VALUE]);
            for (name, value) in *expected {
                let value = value.map(|value| value.replace("{listener}", &port).replace("{id}", id));
                let values: Vec<_> = received.header_values(name).collect();
                assert_eq!(values, Vec::from_iter(value), "{name} of {sent:?}");
            }
        }
    }
}

/// Without `strip_path`, or with nothing taken off, there is no prefix.
#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_told_of_only_where_one_was_taken_off() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    for (path, strip, target, prefix) in [
        ("/a", true, "/a/b", Some("/a")),
        ("/a", true, "/ab", Some("/a")),
        ("/a/", true, "//a/b", Some("/a/")),
        (r"~/v\d+", true, "/v12/x", Some("/v12")),
        ("/a", false, "/a/b", None),
        ("/", true, "/a/b", None),
    ] {
        gateway.serve(service(1, &origin), Route { strip_path: strip, ..route(1, path) });
        let forged = Request::new("GET", target).header("X-Forwarded-Prefix", "/forged");
        gateway.client.send(&forged).await.unwrap().expect(200);
        assert_eq!(origin.last().header("x-forwarded-prefix"), prefix, "{path} {target}");
        // As the client wrote it.
        assert_eq!(origin.last().header("x-forwarded-path"), Some(target));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_the_services_or_the_clients() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    let port = origin.address().port();
    let own = format!("127.0.0.1:{port}");
    for (preserve, request, host) in [
        (false, "GET / HTTP/1.1\r\nHost: shop.example:81\r\n\r\n", &*own),
        (false, "GET / HTTP/1.0\r\n\r\n", &own),
        (true, "GET / HTTP/1.0\r\n\r\n", &own),
        (true, "GET / HTTP/1.1\r\nHost: shop.example:81\r\n\r\n", "shop.example:81"),
        (true, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", "shop.example"),
        (true, "GET / HTTP/1.1\r\nHost: SHOP.example.:81\r\n\r\n", "shop.example:81"),
        (true, "GET http://shop.example:81/ HTTP/1.1\r\nHost: shop.example:81\r\n\r\n", "shop.example:81"),
        (true, "GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n", "shop.example"),
    ] {
        gateway.serve(service(1, &origin), Route { preserve_host: preserve, ..route(1, "/") });
        gateway.client.raw(request.as_bytes()).await.unwrap().expect(200);
        assert_eq!(origin.last().header_values("host").collect::<Vec<_>>(), [host], "{request}");
        assert_eq!(origin.last().target, "/");
    }
    let named = Service { host: "localhost".into(), ..service(1, &origin) };
    gateway.serve(named, route(1, "/"));
    gateway.get("/").await.expect(200);
    assert_eq!(origin.last().header("host"), Some(&*format!("localhost:{port}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_gets_the_fields_that_it_should() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let answer = [
        ("Connection", "x-hop"),
        ("connection", "X-Other"),
        ("X-Hop", "1"),
        ("X-Other", "1"),
        ("Keep-Alive", "5"),
        ("Proxy-Connection", "close"),
        ("Upgrade", "h2c"),
        ("Server", "origin"),
        ("Via", "1.0 inner"),
        ("X-Kong-Request-Id", "inner"),
        ("X-Kong-Proxy-Latency", "inner"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ];
    let answer = answer.iter().fold(Answer::status(200), |answer, (name, value)| answer.header(name, value));
    origin.answer(answer);
    let response = gateway.get("/").await.expect(200);
    let id = origin.last().header("x-kong-request-id").unwrap().to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let via = gateway::names::VIA_VALUE;
    for (name, values) in [
        ("x-hop", &[][..]),
        ("x-other", &[]),
        ("keep-alive", &[]),
        ("proxy-connection", &[]),
        ("upgrade", &[]),
        ("connection", &["keep-alive"]),
        ("server", &["origin"]),
        ("via", &["1.0 inner", via]),
        ("x-kong-request-id", &[&id]),
        ("x-kong-response-latency", &[]),
        ("set-cookie", &["a=1", "b=2"]),
    ] {
        assert_eq!(response.header_values(name).collect::<Vec<_>>(), values, "{name}");
    }
    for latency in ["x-kong-proxy-latency", "x-kong-upstream-latency"] {
        let values: Vec<_> = response.header_values(latency).collect();
        assert!(matches!(values[..], [one] if one.parse::<u64>().unwrap() < 1000), "{latency}: {values:?}");
    }
}
