//! What reaches the upstream, and what comes back.

use std::collections::BTreeMap;

use gateway::route::Change;
use testkit::http::Request;
use testkit::origin::{Answer, Origin};
use wire::{PathHandling, Protocol, Route, Service};

use crate::support::{Gateway, TlsUpstream, at, route, service};

#[tokio::test(flavor = "multi_thread")]
async fn host_path_method_and_header_choose_the_route() {
    let gateway = Gateway::start();
    let origins: Vec<Origin> = (0..5).map(|_| Origin::start()).collect();
    let to = |id: usize, route: Route| Route { service: Some(uuid::Uuid::from_u128(id as u128)), ..route };
    let one = |value: &str| Some(vec![value.to_owned()]);
    let mut changes: Vec<Change> =
        (0..5).map(|id| Change::PutService(service(id as u128, &origins[id]))).collect();
    changes.extend(
        [
            to(0, route(0, "/")),
            to(1, Route { hosts: one("a.example"), ..route(1, "/") }),
            to(2, Route { hosts: one("*.example"), ..route(2, "/deep") }),
            to(3, Route { methods: one("POST"), hosts: one("a.example"), ..route(3, "/") }),
            to(
                4,
                Route {
                    headers: Some(BTreeMap::from([("x-v".to_owned(), vec!["2".to_owned()])])),
                    hosts: one("a.example"),
                    methods: one("POST"),
                    ..route(4, "/")
                },
            ),
        ]
        .map(Change::PutRoute),
    );
    gateway.apply(changes);

    let get = |host| Request::new("GET", "/deep/x").header("Host", host);
    let post = |host| Request::new("POST", "/x").header("Host", host);
    for (request, origin) in [
        (get("other.org"), 0),
        (get("A.Example.:80"), 1),
        (get("b.example"), 2),
        (post("a.example"), 3),
        (post("a.example").header("X-V", "2"), 4),
        (post("b.example"), 0),
    ] {
        let before = origins[origin].count();
        gateway.client.send(&request).await.unwrap().expect(200);
        assert_eq!(origins[origin].count(), before + 1, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_stripped_and_joined_on_the_wire() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    for (base, strip, handling, path, target, sent) in [
        (None, true, PathHandling::V0, "/a", "/a/b?c=d&e=%2F", "/b?c=d&e=%2F"),
        (None, true, PathHandling::V0, "/a", "/a", "/"),
        (None, true, PathHandling::V0, "/a", "/a?", "/?"),
        (None, false, PathHandling::V0, "/a", "/a/b?", "/a/b?"),
        (Some("/base"), true, PathHandling::V0, "/a", "/ab", "/base/b"),
        (Some("/base/"), false, PathHandling::V0, "/a", "/a/b", "/base/a/b"),
        (Some("/base"), false, PathHandling::V1, "/a", "/a/b", "/basea/b"),
        (None, true, PathHandling::V0, r"~/v\d+/x", "/v12/x/y", "/y"),
    ] {
        let service = Service { path: base.map(Into::into), ..service(1, &origin) };
        gateway.serve(service, Route { strip_path: strip, path_handling: handling, ..route(1, path) });
        gateway.get(target).await.expect(200);
        assert_eq!(origin.last().target, sent, "{base:?} {path} {target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_told_who_asked_for_what() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/a"));
    let request = Request::new("GET", "/a/b?c")
        .header("Host", "Shop.Example:8000")
        .header("X-Forwarded-For", "10.1.1.1")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Prefix", "/forged")
        .header("X-Real-IP", "10.1.1.1")
        .header("Connection", "keep-alive, x-hop")
        .header("X-Hop", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Via", "1.0 other");
    let response = gateway.client.send(&request).await.unwrap().expect(200);
    let received = origin.last();
    for (name, value) in [
        ("host", origin.address().to_string().as_str()),
        ("x-forwarded-for", "10.1.1.1, 127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-port", gateway.address().port().to_string().as_str()),
        ("x-forwarded-path", "/a/b"),
        ("x-forwarded-prefix", "/a"),
    ] {
        assert_eq!(received.header(name), Some(value), "{name}");
    }
    for gone in ["x-hop", "keep-alive"] {
        assert_eq!(received.header(gone), None, "{gone}");
    }
    let via: Vec<_> = received.header_values("via").collect();
    assert_eq!(via, ["1.0 other", gateway::request::VIA.to_str().unwrap()]);

    let id = received.header("x-kong-request-id").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(response.header("x-kong-request-id"), Some(id));
    assert_eq!(response.header("via"), gateway::request::VIA.to_str().ok());
    for latency in ["x-kong-proxy-latency", "x-kong-upstream-latency"] {
        assert!(response.header(latency).unwrap().parse::<u64>().unwrap() < 1000, "{latency}");
    }
    assert_eq!(response.header("server"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_peer_is_believed() {
    let (gateway, origin) = (Gateway::with(&[("proxy.trusted_ips", "127.0.0.0/8")]), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/a"));
    let told = [
        ("X-Real-IP", "10.1.1.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "front.example"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Path", "/front"),
        ("X-Forwarded-Prefix", "/f"),
    ];
    let request =
        told.iter().fold(Request::new("GET", "/a/b"), |request, (name, value)| request.header(name, value));
    gateway.client.send(&request).await.unwrap().expect(200);
    for (name, value) in told {
        assert_eq!(origin.last().header(name), Some(value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_host_goes_upstream_in_its_canonical_form_if_asked_for() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), Route { preserve_host: true, ..route(1, "/") });
    for (sent, received) in [("shop.example:81", "shop.example:81"), ("SHOP.example.:81", "shop.example:81")]
    {
        gateway.client.send(&Request::new("GET", "/").header("Host", sent)).await.unwrap().expect(200);
        assert_eq!(origin.last().header("host"), Some(received));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_pass_both_ways() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let body = "x".repeat(300_000);
    let response = gateway.client.send(&Request::new("POST", "/").body(body.clone())).await.unwrap();
    assert_eq!(response.expect(200).json()["body"], body.as_str());

    let chunked = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    gateway.client.raw(chunked).await.unwrap().expect(200);
    assert_eq!(origin.last().body, b"abc");

    origin.answer(Answer::status(200).body(body.clone()).chunked());
    assert_eq!(gateway.get("/").await.text(), body);
    origin.answer(Answer::status(200).body(body.clone()).until_close());
    assert_eq!(gateway.get("/").await.text(), body);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    for _ in 0..20 {
        gateway.get("/").await.expect(200);
    }
    assert_eq!(origin.connections(), 1);
    gateway.wait_metric("gibbon_connections_total{result=\"accepted\"}", 1.0).await;
    gateway.wait_metric("gibbon_upstream_connections_total{reused=\"true\"}", 19.0).await;
    gateway.wait_metric("gibbon_http_requests_total{code=\"200\",source=\"upstream\"}", 20.0).await;
    gateway.wait_metric("gibbon_http_upstream_duration_seconds_count", 20.0).await;
}

/// The pair is its own issuer: good enough for an upstream that is not verified, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_to_an_upstream_and_verified_if_asked_for() {
    let gateway = Gateway::start();
    let folder = tempfile::tempdir().unwrap();
    let pair = testkit::certs::valid(folder.path(), "upstream");
    let upstream = TlsUpstream::start(&pair);
    let https = Service { protocol: Protocol::Https, ..at(1, upstream.address) };
    gateway.serve(https.clone(), route(1, "/"));
    gateway.get("/").await.expect(200);
    gateway.serve(Service { host: "localhost".into(), ..https.clone() }, route(1, "/"));
    gateway.get("/").await.expect(200);
    gateway.serve(Service { tls_verify: Some(true), host: "localhost".into(), ..https }, route(1, "/"));
    gateway.get("/").await.expect(502);
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_tls\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hop_by_hop_fields_of_a_response_stay_here() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let answer =
        Answer::status(200).header("Connection", "x-hop").header("X-Hop", "1").header("Keep-Alive", "5");
    origin.answer(answer.header("Server", "origin").header("X-End", "1"));
    let response = gateway.get("/").await.expect(200);
    assert_eq!((response.header("x-hop"), response.header("keep-alive")), (None, None));
    assert_eq!((response.header("x-end"), response.header("server")), (Some("1"), Some("origin")));
}
