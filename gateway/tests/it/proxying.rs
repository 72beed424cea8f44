//! The upstream that a request reaches, its path there, and the response.

use std::collections::BTreeMap;

use gateway::table::Change;
use model::{PathHandling, Protocol, Route, Service};
use testkit::http::Request;
use testkit::origin::{Answer, Origin};

use crate::support::{Gateway, TlsUpstream, at, route, service};

#[tokio::test(flavor = "multi_thread")]
async fn host_path_method_and_header_choose_the_route() {
    let gateway = Gateway::start();
    let origins: Vec<Origin> = (0..5).map(|_| Origin::start()).collect();
    let to = |id: usize, route: Route| Route { service: Some(uuid::Uuid::from_u128(id as u128)), ..route };
    let one = |value: &str| Some(vec![value.to_owned()]);
    let mut changes: Vec<Change> = (0..5).map(|id| Change::put(service(id as u128, &origins[id]))).collect();
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
        .map(Change::put),
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

/// Repeats the test table of `model::upstream_path` on the wire.
#[tokio::test(flavor = "multi_thread")]
async fn paths_are_stripped_and_joined() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    let rows = include_str!("../../../entity/model/tests/upstream_paths.txt").lines();
    for row in rows.filter(|row| !row.starts_with('#')) {
        let columns: Vec<_> = row.split_whitespace().collect();
        let [handling, base, path, target, stripped, kept] = columns[..] else { panic!("{row}") };
        let handling = if handling == "v1" { PathHandling::V1 } else { PathHandling::V0 };
        let service = Service { path: (base != "/").then(|| base.into()), ..service(1, &origin) };
        for (strip, sent) in [(true, stripped), (false, kept)] {
            let by_path = Route { strip_path: strip, path_handling: handling, ..route(1, path) };
            let by_host = Route { paths: None, hosts: Some(vec!["a.example".into()]), ..by_path.clone() };
            gateway.serve(service.clone(), by_path);
            gateway.get(&format!("{target}?a=%2F/..//b")).await.expect(200);
            assert_eq!(origin.last().target, format!("{sent}?a=%2F/..//b"), "{row}, {strip}");
            if path == "/" {
                gateway.serve(service.clone(), by_host);
                let request = Request::new("GET", target).header("Host", "a.example");
                gateway.client.send(&request).await.unwrap().expect(200);
                assert_eq!(origin.last().target, sent, "{row}, {strip}, by a host alone");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_regular_expression_matched_is_taken_off_and_the_query_kept() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    for (path, target, sent) in [
        (r"~/v\d+/x", "/v12/x/y", "/srv/y"),
        (r"~/v\d+", "/v12", "/srv"),
        (r"~/(?<name>[a-z]+)/$", "/abc/", "/srv/"),
        ("/a", "/a?", "/srv?"),
        ("/a", "/a/b?c=d&e=%2F", "/srv/b?c=d&e=%2F"),
    ] {
        let service = Service { path: Some("/srv".into()), ..service(1, &origin) };
        gateway.serve(service, route(1, path));
        gateway.get(target).await.expect(200);
        assert_eq!(origin.last().target, sent, "{path} {target}");
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

/// The pair is its own issuer: good enough only for an upstream that is not verified.
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
