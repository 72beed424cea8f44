//! Refusals of request headers that cannot be read, or are too large. They have a form, come at once, and
//! reach the client.

use std::time::Duration;

use testkit::http::Connection;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::http2::{self, Client};
use super::raw::{Head, Peer, Upstream, soon};
use super::{noise, to};
use crate::support::Gateway;

/// Headers that have no meaning.
const UNREADABLE: [&str; 12] = [
    "nonsense\r\n\r\n",
    "GET\r\n\r\n",
    "GET / HTTP/3.0\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX Y: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
];

/// Reads the body, which is text and names the request.
async fn assert_refused(client: &mut Peer, head: &Head, message: &str, case: &str) {
    let id = head.value("x-kong-request-id");
    assert_eq!(id.len(), 32, "{case}");
    assert_eq!(head.value("content-type"), "text/plain; charset=utf-8", "{case}");
    assert!(head.value("server").starts_with("gibbon/"), "{case}");
    let length = head.value("content-length").parse().unwrap();
    assert_eq!(client.exact(length).await, format!("{message}\nrequest_id: {id}\n"), "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_header_is_400_and_counted() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for (count, request) in (1..).zip(UNREADABLE) {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(request).await;
        let head = client.head().await;
        assert_eq!(head.status(), 400, "{request:?}");
        assert_refused(&mut client, &head, "Bad request", request).await;
        assert_eq!(head.value("connection"), "close", "{request:?}");
        assert_eq!(client.closed().await, "", "{request:?}");
        gateway.wait_metric("gibbon_http_errors_total{reason=\"bad_request\"}", f64::from(count)).await;
    }
    assert!(!upstream.has_waiting().await);
}

/// An unreadable header behind a good request is refused after its answer.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_header_behind_a_request_is_400_in_its_turn() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nnonsense\r\n\r\n").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
    let head = client.status(400).await;
    assert_refused(&mut client, &head, "Bad request", "in turn").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_of_head_has_no_body() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("HEAD / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n").await;
    let head = client.status(400).await;
    assert!(head.has("x-kong-request-id"));
    assert_eq!(client.closed().await, "");
}

const LIMIT: usize = 8192;

fn limited() -> Gateway {
    let gateway = Gateway::with(&[("proxy.max_header_bytes", &LIMIT.to_string())]);
    gateway.apply(vec![]);
    gateway
}

/// The header has no end yet: the client stops in its middle and waits.
#[tokio::test(flavor = "multi_thread")]
async fn header_too_large_is_refused_as_soon_as_it_is() {
    let gateway = limited();
    let too_large = (431, "Request header or cookie too large");
    for (begin, (status, message)) in [
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(LIMIT)), too_large),
        (format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(LIMIT / 6 + 1)), too_large),
        (format!("GET /{}", "x".repeat(LIMIT * 2)), (414, "URI too long")),
    ] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(&begin).await;
        let head = client.status(status).await;
        assert_refused(&mut client, &head, message, &begin[..20]).await;
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"header_too_large\"}", 2.0).await;
    gateway.wait_metric("gibbon_http_errors_total{reason=\"uri_too_long\"}", 1.0).await;
}

/// A close with unread bytes would reset the connection, and discard the answer. The client reads only when
/// it has sent all.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_is_not_lost_while_the_client_sends_on() {
    let gateway = limited();
    for begin in ["GET / HTTP/1.1\r\nHost: h\r\nX: ", "GET /", "nonsense\r\n\r\n"] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(begin).await;
        for _ in 0..16 {
            client.send("x".repeat(16 << 10)).await;
        }
        let head = client.head().await;
        assert!(matches!(head.status(), 400 | 414 | 431), "{begin:?}: {}", head.text());
        let length = head.value("content-length").parse().unwrap();
        client.exact(length).await;
        assert_eq!(client.closed().await, "", "{begin:?}");
    }
}

/// The same for a body that nobody wants.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_of_a_request_is_not_lost_while_its_body_comes() {
    let gateway = limited();
    for length in [100 << 10, 20 << 20] {
        let client = Peer::connect(gateway.address()).await;
        let (mut reader, mut writer) = client.split();
        let head = format!("POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        writer.write_all(head.as_bytes()).await.unwrap();
        let upload = async {
            writer.write_all(&noise(length)).await.ok();
        };
        let answer = async {
            let head = reader.status(404).await;
            reader.exact(head.value("content-length").parse().unwrap()).await
        };
        let ((), answer) = soon("an answer", async { tokio::join!(upload, answer) }).await;
        assert!(answer.windows(8).any(|text| text == b"no Route"));
    }
}

/// The client may take the answer for a reason not to send the body. Then the bytes of its next request would
/// be read as that body.
#[tokio::test(flavor = "multi_thread")]
async fn refusal_before_an_expected_body_closes() {
    let gateway = limited();
    let mut client = Peer::connect(gateway.address()).await;
    let expects = "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    client.send(expects).await;
    let head = client.status(404).await;
    assert_eq!(head.value("connection"), "close");
    client.exact(head.value("content-length").parse().unwrap()).await;
    assert_eq!(client.closed().await, "");
}

/// A client that sends slowly and for ever does not hold the connection.
#[tokio::test(flavor = "multi_thread")]
async fn refused_client_that_goes_on_is_left() {
    let gateway = limited();
    let mut client = Connection::open(gateway.address()).await.unwrap();
    client.write(b"nonsense\r\n\r\n").await.unwrap();
    let drip = async {
        while client.write(b"x").await.is_ok() {
            // A pause, in which the answer is read.
            timeout(Duration::from_millis(20), client.read_to_end()).await.ok();
            tokio::task::yield_now().await;
        }
    };
    soon("an end", drip).await;
    gateway.wait_metric("gibbon_connections_active", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn header_too_large_is_431_over_http2() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let mut many = http2::get("/");
    for number in 0..200 {
        many.headers_mut().append("x-field", number.into());
    }
    let (answer, _) = client.send(many, true).await;
    let answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 431);
    let id = answer.headers()["x-kong-request-id"].to_str().unwrap().to_owned();
    let (body, _) = http2::whole(&mut answer.into_body()).await;
    let expected = format!("Request header or cookie too large\nrequest_id: {id}\n");
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    gateway.wait_metric("gibbon_http_errors_total{reason=\"header_too_large\"}", 1.0).await;
    // Others are served.
    let serve = async {
        let (mut peer, _) = upstream.accept_request().await;
        peer.send("HTTP/1.1 204 N\r\n\r\n").await;
        peer
    };
    assert_eq!(tokio::join!(client.get("/"), serve).0.status(), 204);
}
