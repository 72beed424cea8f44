//! The response to a request that cannot be proxied, and the attempts before it.

mod answers;

use std::time::Duration;

use gateway::table::Change;
use model::Service;
use testkit::http::{Connection, Request, Response};
use testkit::origin::{Answer, Origin};
use testkit::ports;
use tokio::time::Instant;

use crate::support::{Gateway, at, route, service};

/// Short enough for a test, long enough for a busy machine.
const SHORT: u32 = 300;

/// Asserts that the response is the gateway's own, has `message`, and has a request id for the log.
#[track_caller]
fn assert_ours(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let id = response.header("x-kong-request-id").unwrap();
    let text = response.text();
    assert!(text.contains(message) && text.contains(id), "{text}");
    assert!(response.header("server").unwrap().starts_with("gibbon/"));
    // A request that was given to an upstream looks so.
    let is_proxied = matches!(status, 502 | 504);
    assert_eq!(response.header("x-kong-response-latency").is_none(), is_proxied);
    for name in ["via", "x-kong-proxy-latency", "x-kong-upstream-latency"] {
        assert_eq!(response.header(name).is_some(), is_proxied, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_to_go_by() {
    let gateway = Gateway::with(&[]);
    assert_ours(&gateway.get("/").await, 503, "no configuration available yet");

    gateway.apply(vec![]);
    let response = gateway.get("/").await;
    assert_ours(&response, 404, "no Route matched with those values");
    assert_eq!(response.json()["message"], "no Route matched with those values");

    gateway.apply(vec![Change::put(route(1, "/"))]);
    assert_ours(&gateway.get("/").await, 503, "no Service found with those values");
    // These failures leave the connection open.
    gateway.wait_metric("gibbon_connections_total{result=\"accepted\"}", 1.0).await;
    gateway.wait_metric("gibbon_http_errors_total{reason=\"no_route\"}", 1.0).await;
    gateway.wait_metric("gibbon_http_requests_total{code=\"503\",source=\"gateway\"}", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_service_takes_its_routes_away() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(Service { enabled: false, ..service(1, &origin) }, route(1, "/"));
    gateway.get("/").await.expect(404);
    gateway.apply(vec![Change::put(service(1, &origin))]);
    gateway.get("/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_fails_is_502() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    let nobody = ports::reserve();
    gateway.serve(at(1, nobody.address()), route(1, "/"));
    let message = "An invalid response was received from the upstream server";
    assert_ours(&gateway.get("/").await, 502, message);
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_connect\"}", 1.0).await;

    gateway.serve(service(1, &origin), route(1, "/"));
    for answer in [Answer::close(), Answer::reset(), Answer::raw("nonsense\r\n\r\n")] {
        origin.answer(answer);
        assert_ours(&gateway.get("/").await, 502, message);
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_invalid\"}", 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_stalls_is_504() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(Service { read_timeout: SHORT, ..service(1, &origin) }, route(1, "/"));
    origin.answer(Answer::hang());
    let started = Instant::now();
    assert_ours(&gateway.get("/").await, 504, "The upstream server is timing out");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(SHORT.into()) && waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(origin.count(), 1, "it may have had an effect and is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_address_is_503() {
    let gateway = Gateway::start();
    let service = Service { host: "no-such-name.invalid".into(), ..at(1, gateway.address()) };
    gateway.serve(service, route(1, "/"));
    assert_ours(&gateway.get("/").await, 503, "name resolution failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_resolved() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(Service { host: "localhost".into(), ..service(1, &origin) }, route(1, "/"));
    gateway.get("/").await.expect(200);
    let authority = format!("localhost:{}", origin.address().port());
    assert_eq!(origin.last().header("host"), Some(&*authority));
}

/// The client does not notice that the upstream has closed an idle connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_had_no_effect_is_sent_again() {
    let (gateway, mut origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    for _ in 0..5 {
        gateway.get("/").await.expect(200);
        origin.restart();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_may_have_had_an_effect_is_not() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    gateway.get("/").await.expect(200);
    origin.forget();
    origin.answer(Answer::close());
    let post = Request::new("POST", "/").body("once");
    gateway.client.send(&post).await.unwrap().expect(502);
    assert_eq!(origin.count(), 1);
}

/// Retries count connections that could not be made, and nothing is sent meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_tried_as_often_as_the_service_allows() {
    let (gateway, mut origin) = (Gateway::start(), Origin::start());
    origin.stop();
    gateway.serve(Service { retries: 0, ..service(1, &origin) }, route(1, "/"));
    gateway.client.send(&Request::new("POST", "/")).await.unwrap().expect(502);
    gateway.serve(Service { retries: 32_767, connect_timeout: SHORT, ..service(1, &origin) }, route(1, "/"));
    let request = tokio::time::timeout(Duration::from_secs(30), gateway.client.get("/"));
    // The origin comes up while connections are refused thousands of times.
    let (response, ()) = tokio::join!(request, async { origin.restart() });
    response.unwrap().unwrap().expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_is_not_presented_as_complete() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    let body = "x".repeat(100_000);
    for answer in [Answer::status(200).body(body.clone()), Answer::status(200).body(body).chunked()] {
        origin.answer(answer.truncated(50_000));
        assert!(gateway.client.get("/").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_400() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    gateway.serve(service(1, &origin), route(1, "/"));
    for request in [
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h:http\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h/evil\r\n\r\n",
        "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: host\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Forwarded-For\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: \"close\"\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: a,b,c,d,e,f,g,h,i,j,k\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let response = gateway.client.raw(request.as_bytes()).await.unwrap();
        assert_eq!(response.status, 400, "{request}");
    }
    assert_eq!(origin.count(), 0);
}

/// The response is that of any other failure, though there is no request yet that it could answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_cannot_be_read_is_answered_and_counted() {
    let gateway = Gateway::start();
    gateway.apply(vec![]);
    let many: String = (0..300).map(|number| format!("X-{number}: 1\r\n")).collect();
    for (request, status, message) in [
        ("GET / HTTP/1.1\r\nHost h\r\n\r\n".to_owned(), 400, "Bad request"),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), 431, "Request header or cookie too large"),
    ] {
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.write(request.as_bytes()).await.unwrap();
        let response = connection.read_response(false).await.unwrap();
        assert_ours(&response, status, message);
        assert_eq!(response.header("connection"), Some("close"));
    }
    for (status, reason) in [(400, "bad_request"), (431, "header_too_large")] {
        gateway.wait_metric(&format!("gibbon_http_errors_total{{reason=\"{reason}\"}}"), 1.0).await;
        let requests = format!("gibbon_http_requests_total{{code=\"{status}\",source=\"gateway\"}}");
        gateway.wait_metric(&requests, 1.0).await;
    }
}
