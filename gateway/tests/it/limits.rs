//! The limits of clients.

use std::time::Duration;

use model::Route;
use testkit::curl::curl;
use testkit::http::{Connection, Request};
use testkit::origin::{Answer, Origin};
use testkit::wait;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Gateway, route, service};

const SOON: Duration = Duration::from_secs(10);

/// Sends a byte now and then until the connection is closed; returns how long that took.
async fn dribble(connection: &mut Connection, begin: &[u8]) -> Duration {
    let started = Instant::now();
    connection.write(begin).await.unwrap();
    let closed = async {
        while connection.is_open() {
            sleep(Duration::from_millis(50)).await;
            // The close may be noticed here first.
            connection.write(b"x").await.ok();
        }
    };
    timeout(SOON, closed).await.expect("closed");
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_has_a_deadline_on_each_request_of_a_connection() {
    let gateway = Gateway::with(&[("proxy.header_timeout", "400ms")]);
    gateway.apply(vec![]);
    let begin = b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ";

    let mut fresh = Connection::open(gateway.address()).await.unwrap();
    let waited = dribble(&mut fresh, begin).await;
    assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(3), "{waited:?}");

    let mut used = Connection::open(gateway.address()).await.unwrap();
    for _ in 0..2 {
        used.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        used.read_response(false).await.unwrap().expect(404);
        // An idle pause between two requests does not count for the header.
        sleep(Duration::from_millis(600)).await;
    }
    let waited = dribble(&mut used, begin).await;
    assert!(waited >= Duration::from_millis(400) && waited < Duration::from_secs(3), "{waited:?}");

    let mut silent = Connection::open(gateway.address()).await.unwrap();
    timeout(SOON, silent.read_to_end()).await.unwrap().unwrap();
    gateway.wait_metric("gibbon_connections_total{result=\"header_timeout\"}", 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_the_header_is_not_one_of_the_body() {
    let (gateway, origin) = (Gateway::with(&[("proxy.header_timeout", "200ms")]), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::echo().delay(Duration::from_millis(500)));
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n").await.unwrap();
    for byte in b"body" {
        sleep(Duration::from_millis(150)).await;
        connection.write(&[*byte]).await.unwrap();
    }
    connection.read_response(false).await.unwrap().expect(200);
    assert_eq!(origin.last().body, b"body");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends() {
    let gateway = Gateway::with(&[("proxy.keepalive_timeout", "1s")]);
    gateway.apply(vec![]);
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    connection.read_response(false).await.unwrap().expect(404);
    let started = Instant::now();
    timeout(SOON, connection.read_to_end()).await.unwrap().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alive_can_be_turned_off() {
    let gateway = Gateway::with(&[("proxy.keepalive_timeout", "0s")]);
    gateway.apply(vec![]);
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let response = connection.read_response(false).await.unwrap().expect(404);
    assert_eq!(response.header("connection"), Some("close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_has_a_size() {
    let (gateway, origin) = (Gateway::with(&[("proxy.max_header_bytes", "8192")]), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let with_fields = |number| {
        (0..number).fold(Request::new("GET", "/"), |request, n| request.header(&format!("X-{n}"), "1"))
    };
    gateway.client.send(&with_fields(99)).await.unwrap().expect(200);
    let response = gateway.client.send(&with_fields(100)).await.unwrap().expect(431);
    assert!(response.text().starts_with("Request header or cookie too large"));
    let large = Request::new("GET", "/").header("X-Large", &"x".repeat(9000));
    gateway.client.send(&large).await.unwrap().expect(431);
    gateway.get(&format!("/{}", "x".repeat(8000))).await.expect(200);
    let response = gateway.get(&format!("/{}", "x".repeat(9000))).await.expect(414);
    assert!(response.text().starts_with("URI too long"));
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_held_to_the_keys() {
    let keys = [("proxy.max_header_fields", "10"), ("proxy.max_uri_bytes", "1000")];
    let (gateway, origin) = (Gateway::with(&keys), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let with_fields = |number| {
        (0..number).fold(Request::new("GET", "/"), |request, n| request.header(&format!("X-{n}"), "1"))
    };
    gateway.client.send(&with_fields(9)).await.unwrap().expect(200);
    gateway.client.send(&with_fields(10)).await.unwrap().expect(431);
    gateway.get(&format!("/{}", "x".repeat(999))).await.expect(200);
    gateway.get(&format!("/{}", "x".repeat(1000))).await.expect(414);
    // Longer than Pingora's type can hold.
    let response = gateway.get(&format!("/{}", "x".repeat(70_000))).await.expect(414);
    assert!(response.text().starts_with("URI too long"), "{}", response.text());
    assert_eq!(origin.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_held_to_the_keys() {
    let keys = [("upstream.max_header_fields", "20"), ("upstream.max_header_bytes", "2000")];
    let (gateway, origin) = (Gateway::with(&keys), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let with_fields =
        |number| (0..number).fold(Answer::status(200), |answer, n| answer.header(&format!("X-{n}"), "1"));
    let large = |bytes: usize| Answer::status(200).header("X-Large", &"x".repeat(bytes));
    for (answer, status) in
        [(with_fields(15), 200), (with_fields(21), 502), (large(1500), 200), (large(2000), 502)]
    {
        origin.answer(answer);
        gateway.get("/").await.expect(status);
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_header_too_large\"}", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_has_a_length() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let url = format!("http://{}/", gateway.address());
    let code = ["--output", "/dev/null", "--write-out", "%{http_code}", "--http2-prior-knowledge", &url];
    for (length, status) in [(64, 200), (65, 400), (70_000, 400)] {
        let request = format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "A".repeat(length));
        gateway.client.raw(request.as_bytes()).await.unwrap().expect(status);
    }
    for (length, status) in [(64, "200"), (65, "400"), (10_000, "400")] {
        let said = curl(&[&code[..], &["--request", &"A".repeat(length)]].concat()).await.unwrap();
        assert_eq!(said, status, "{length}");
    }
    assert_eq!(origin.count(), 2);
}

/// Each label of a host costs look-ups where a route has a wildcard.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_a_length() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    let hosts = Some(vec!["*.example".to_owned()]);
    gateway.serve(service(1, &origin), Route { hosts, ..route(1, "/") });
    for (labels, status) in [(123, 200), (124, 400), (30_000, 400)] {
        let host = format!("{}example", "a.".repeat(labels));
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        gateway.client.raw(request.as_bytes()).await.unwrap().expect(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_requests_have_caps() {
    let keys = [("proxy.max_connections", "3"), ("proxy.max_in_flight", "1")];
    let (gateway, origin) = (Gateway::with(&keys), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer_once(Answer::echo().delay(Duration::from_secs(1)));

    let mut first = Connection::open(gateway.address()).await.unwrap();
    first.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    wait::until(SOON, "a request in flight", || origin.count() == 1).await;
    let mut second = Connection::open(gateway.address()).await.unwrap();
    second.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let refused = second.read_response(false).await.unwrap().expect(503);
    assert!(refused.text().contains("too many requests in flight"), "{}", refused.text());
    first.read_response(false).await.unwrap().expect(200);

    let mut idle = Vec::new();
    for _ in 0..2 {
        idle.push(Connection::open(gateway.address()).await.unwrap());
    }
    wait::until(SOON, "three connections", || gateway.metric("gibbon_connections_active") == 3.0).await;
    let mut fourth = Connection::open(gateway.address()).await.unwrap();
    let refused = fourth.read_response(false).await.unwrap().expect(503);
    assert_eq!(refused.header("connection"), Some("close"));
    gateway.wait_metric("gibbon_connections_total{result=\"refused\"}", 1.0).await;

    drop(idle);
    wait::until(SOON, "one connection", || gateway.metric("gibbon_connections_active") == 1.0).await;
    gateway.get("/").await.expect(200);
    wait::until(SOON, "no request", || gateway.metric("gibbon_http_requests_in_flight") == 0.0).await;
}

/// Each byte comes in time, and all of them never.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_ended_and_one_that_flows_is_not() {
    let keys = [("proxy.body_timeout", "1s"), ("proxy.min_body_rate", "10")];
    let (gateway, origin) = (Gateway::with(&keys), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let started = Instant::now();
    let send = async |piece: &[u8]| {
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200\r\n\r\n").await.unwrap();
        for _ in 0..200 / piece.len() {
            connection.write(piece).await.unwrap();
            // Until there is a response.
            if timeout(Duration::from_millis(200), connection.stream().readable()).await.is_ok() {
                break;
            }
        }
        connection.read_response(false).await
    };
    let (dripping, flowing) = tokio::join!(send(b"x"), send(b"ten bytes."));
    dripping.unwrap().expect(408);
    flowing.unwrap().expect(200);
    assert!(started.elapsed() < SOON);
    gateway.wait_metric("gibbon_http_errors_total{reason=\"request_timeout\"}", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_is_ended() {
    let (gateway, origin) = (Gateway::with(&[("proxy.body_timeout", "500ms")]), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo").await.unwrap();
    timeout(SOON, connection.read_response(false)).await.unwrap().unwrap().expect(408);
}

/// Bytes that the client does not read are not kept for it: both its connection and that to the origin end.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_left() {
    let (gateway, origin) = (Gateway::with(&[("proxy.body_timeout", "500ms")]), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    origin.answer(Answer::status(200).size(64 << 20));
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    wait::until(SOON, "a request in flight", || gateway.shared.in_flight.used() == 1).await;
    wait::until(SOON, "nothing in flight", || gateway.shared.in_flight.used() == 0).await;
    gateway.wait_metric("gibbon_http_errors_total{reason=\"client_closed\"}", 1.0).await;
    // It gets the bytes that were on their way, and not all.
    assert!(connection.read_response(false).await.is_err());
}
