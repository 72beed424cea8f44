//! Requests that are sent again: with their whole body, to a connection that works, and never when they may
//! have had an effect.

use super::http2::{self, Client};
use super::raw::{Head, Peer, Upstream, soon};
use super::{noise, to, to_http2};
use crate::support::Gateway;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// The most bytes of a body that are kept for another attempt.
const KEPT: usize = 64 << 10;

/// A client, and the idle connection that its first request has left.
async fn used(gateway: &Gateway, upstream: &Upstream) -> (Peer, Peer) {
    let mut client = Peer::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(OK).await;
    client.status(200).await;
    client.exact(2).await;
    (client, peer)
}

fn head(method: &str, length: usize) -> String {
    format!("{method} /a?b HTTP/1.1\r\nHost: h\r\nX-Field: v\r\nContent-Length: {length}\r\n\r\n")
}

/// Both attempts are the same, but for what the gateway measures.
#[track_caller]
fn assert_same(first: &Head, second: &Head) {
    assert_eq!(first.text(), second.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotent_request_is_sent_again_with_its_body() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for length in [0, 1, 5000, KEPT] {
        let (mut client, mut peer) = used(&gateway, &upstream).await;
        let body = noise(length);
        client.send([head("PUT", length).as_bytes(), &body].concat()).await;
        let first = peer.head().await;
        assert!(peer.exact(length).await == body);
        drop(peer);
        let (mut peer, second) = upstream.accept_request().await;
        assert_same(&first, &second);
        assert!(peer.exact(length).await == body, "{length}");
        peer.send(OK).await;
        client.status(200).await;
        assert_eq!(client.exact(2).await, "ok");
    }
}

/// The first half goes to both connections, and the second half follows on the second one.
#[tokio::test(flavor = "multi_thread")]
async fn request_is_sent_again_amid_its_body() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let (mut client, mut peer) = used(&gateway, &upstream).await;
    client.send(head("PUT", 8) + "half").await;
    peer.head().await;
    assert_eq!(peer.exact(4).await, "half");
    drop(peer);
    let (mut peer, _) = upstream.accept_request().await;
    assert_eq!(peer.exact(4).await, "half");
    client.send("more").await;
    assert_eq!(peer.exact(4).await, "more");
    peer.send(OK).await;
    client.status(200).await;
    drop(peer);

    // Chunked, and without any of its body at first.
    let (mut client, mut peer) = used(&gateway, &upstream).await;
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    peer.head().await;
    drop(peer);
    let (mut peer, _) = upstream.accept_request().await;
    client.send("4\r\nbody\r\n0\r\nX-Checksum: 1\r\n\r\n").await;
    assert_eq!(peer.chunked().await, (b"body".to_vec(), vec!["x-checksum: 1".to_owned()]));
    peer.send(OK).await;
    client.status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_whose_body_is_too_large_to_keep_is_502() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let (mut client, mut peer) = used(&gateway, &upstream).await;
    let length = KEPT + 1;
    client.send([head("PUT", length).as_bytes(), &noise(length)].concat()).await;
    peer.head().await;
    peer.exact(length).await;
    drop(peer);
    client.status(502).await;
    assert!(!upstream.has_waiting().await);
}

/// A part of an answer shows that the upstream has acted.
#[tokio::test(flavor = "multi_thread")]
async fn request_is_not_sent_again_when_an_answer_has_begun() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for begun in ["HTTP/1.1 20", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"] {
        let (mut client, mut peer) = used(&gateway, &upstream).await;
        client.send(head("PUT", 0)).await;
        peer.head().await;
        peer.send(begun).await;
        drop(peer);
        let mut answer = client.head().await;
        if answer.status() == 103 {
            answer = client.head().await;
        }
        assert_eq!(answer.status(), 502, "{begun:?}");
        assert!(!upstream.has_waiting().await, "{begun:?}");
    }
}

/// Nothing may be lost or doubled when the stream is refused before the upstream acted.
#[tokio::test(flavor = "multi_thread")]
async fn refused_stream_is_sent_again_with_its_body() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let (answer, mut body) = client.send(http2::post("/"), false).await;
    assert!(http2::send_part(&mut body, "half".into()).await);
    let mut refused = upstream.accept().await;
    assert_eq!(http2::part(refused.request.body_mut()).await.unwrap().unwrap(), "half");
    refused.respond.send_reset(h2::Reason::REFUSED_STREAM);
    let mut stream = upstream.accept().await;
    body.send_data("more".into(), true).unwrap();
    assert_eq!(http2::whole(stream.request.body_mut()).await.0, b"halfmore");
    stream.begin(200).send_data("ok".into(), true).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
}
