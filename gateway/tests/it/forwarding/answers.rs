//! Answers of HTTP/1 upstreams whose framing is odd or wrong. None is passed on so that a recipient could
//! read another message in it.

use super::http2::{self, Client};
use super::raw::{Peer, Upstream, soon};
use super::to;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// Headers, each followed by `ok` or a chunked `ok`, that have no one meaning.
const INVALID: [&str; 30] = [
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, chunked\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3, 2\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2.0\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: \"2\"\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999999999999\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.1 099 Low\r\nContent-Length: 2\r\n",
    "HTTP/1.1 1000 High\r\nContent-Length: 2\r\n",
    "HTTP/1.1 OK\r\nContent-Length: 2\r\n",
    "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n",
    "HTTP/1.2x 200 OK\r\nContent-Length: 2\r\n",
    "ICY 200 OK\r\nContent-Length: 2\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX\0: a\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: a\0b\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n: nameless\r\n",
];

fn body_of(head: &str) -> &'static str {
    if head.contains("Transfer-Encoding") { "2\r\nok\r\n0\r\n\r\n" } else { "ok" }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_without_one_meaning_is_502() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for head in INVALID {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("{head}\r\n{}", body_of(head))).await;
        let answer = client.head().await;
        assert_eq!(answer.status(), 502, "{head:?}: {}", answer.text());
        // The gateway must not use the connection again.
        peer.closed().await;
        assert!(!upstream.has_waiting().await, "{head:?}: asked again");
    }
    let all = INVALID.len() as f64;
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_invalid\"}", all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_without_one_meaning_is_502_for_an_http2_client() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    for head in INVALID {
        let (answer, _) = client.send(http2::get("/"), true).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("{head}\r\n{}", body_of(head))).await;
        let answer = soon("an answer", answer).await.unwrap_or_else(|error| panic!("{head:?}: {error}"));
        assert_eq!(answer.status(), 502, "{head:?}");
    }
}

/// A recipient may take equal lengths for one, or reject them; it must not pass both on (RFC 9110, section
/// 8.6).
#[tokio::test(flavor = "multi_thread")]
async fn equal_lengths_are_one_or_502() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for lengths in ["Content-Length: 2, 2", "Content-Length: 2\r\nContent-Length: 2"] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("HTTP/1.1 200 OK\r\n{lengths}\r\n\r\nok")).await;
        let head = client.head().await;
        if head.status() != 502 {
            assert_eq!((head.status(), head.value("content-length")), (200, "2".to_owned()));
            assert_eq!(client.exact(2).await, "ok");
        }
        drop(peer);
    }
}

/// `Transfer-Encoding` overrides a length, which must be removed (RFC 9112, section 6.3).
#[tokio::test(flavor = "multi_thread")]
async fn length_beside_chunks_does_not_pass() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(GET).await;
    let (mut peer, _) = upstream.accept_request().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n";
    peer.send(format!("{head}2\r\nok\r\n0\r\n\r\n")).await;
    let head = client.head().await;
    if head.status() != 502 {
        assert_eq!((head.status(), head.has("content-length")), (200, false));
        assert_eq!(client.chunked().await.0, b"ok");
    }
    peer.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_chunks_break_the_answer_off() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for chunks in
        ["g\r\nok\r\n", "-2\r\nok\r\n", "0x2\r\nok\r\n", "2\r\nokay\r\n0\r\n\r\n", "fffffffffffffffff\r\nok"]
    {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await;
        client.status(200).await;
        assert_eq!(client.chunk().await, "part");
        peer.send(chunks).await;
        let rest = client.closed().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{chunks:?}: it looks whole: {}", rest.escape_ascii());
        peer.closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http10_upstream_without_length_ends_with_its_connection() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for (head, body) in [
        ("HTTP/1.0 200 OK\r\n\r\n", "to the end"),
        ("HTTP/1.0 200 OK\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\n\r\n", "to the end"),
    ] {
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("{head}{body}")).await;
        drop(peer);
        let answer = client.status(200).await;
        assert!(answer.text().starts_with("HTTP/1.1 "), "{}", answer.text());
        assert_eq!(client.chunked().await.0, body.as_bytes());
    }
    // With a length, but without keep-alive: not to be used again.
    client.send(GET).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
    assert_eq!(peer.closed().await, "");
}

/// A client must never see bytes behind the end of its answer, nor get them for its next one.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_an_answer_reach_nobody() {
    const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        for late in [false, true] {
            client.send(GET).await;
            let (mut peer, _) = upstream.accept_request().await;
            if late {
                peer.send(answer).await;
            } else {
                peer.send(format!("{answer}{POISON}")).await;
            }
            let head = client.status(200).await;
            let is_chunked = head.has("transfer-encoding");
            let body = if is_chunked { client.chunked().await.0.into() } else { client.exact(2).await };
            assert_eq!(body, "ok");
            if late {
                peer.send(POISON).await;
            }
            // Closed, without another request.
            assert_eq!(peer.closed().await, "", "{answer:?} {late}");
        }
    }
    client.send(GET).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean").await;
    client.status(200).await;
    assert_eq!(client.exact(5).await, "clean");
}

/// A connection that the upstream announces to close is not used again.
#[tokio::test(flavor = "multi_thread")]
async fn announced_close_is_believed() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for option in ["close", "Close", "x, CLOSE"] {
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("HTTP/1.1 200 OK\r\nConnection: {option}\r\nContent-Length: 2\r\n\r\nok")).await;
        let head = client.status(200).await;
        assert_eq!(head.value("connection"), "keep-alive");
        assert_eq!(client.exact(2).await, "ok");
        assert_eq!(peer.closed().await, "", "{option}");
    }
}
