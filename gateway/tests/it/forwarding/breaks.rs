//! Upstreams that close or reset their connection at any point.

use bytes::Bytes;

use super::http2::{self, Client};
use super::raw::{Peer, Rest, Upstream, soon};
use super::{idle, to};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Break {
    Close,
    Reset,
}

const BREAKS: [Break; 2] = [Break::Close, Break::Reset];

fn end(peer: Peer, how: Break) {
    match how {
        Break::Close => drop(peer),
        Break::Reset => peer.reset(),
    }
}

async fn answered(client: &mut Peer, request: &str, peer: &mut Peer) {
    client.send(request).await;
    let head = peer.head().await;
    if head.has("content-length") {
        peer.exact(4).await;
    }
    peer.send(OK).await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
}

/// The gateway knows of the end before the next request, which so can use no dead connection.
#[tokio::test(flavor = "multi_thread")]
async fn request_after_an_idle_connection_ended_uses_a_new_one() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(GET).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(OK).await;
    client.status(200).await;
    client.exact(2).await;
    for request in [GET, POST] {
        peer.finish().await;
        assert_eq!(peer.rest().await, Rest { bytes: Bytes::new(), clean: true });
        let (accepted, ()) = tokio::join!(upstream.accept(), client.send(request));
        peer = accepted;
        let head = peer.head().await;
        assert!(request.starts_with(head.text().split(' ').next().unwrap()));
        if request == POST {
            assert_eq!(peer.exact(4).await, "body");
        }
        peer.send(OK).await;
        client.status(200).await;
        client.exact(2).await;
    }
}

/// The upstream ends an idle connection, and the next request is sent at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn idempotent_request_survives_the_race_with_the_end_of_an_idle_connection() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in BREAKS {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(OK).await;
        client.status(200).await;
        client.exact(2).await;
        // The request has reached the connection by now.
        client.send(GET).await;
        peer.head().await;
        end(peer, how);
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(OK).await;
        client.status(200).await;
        assert_eq!(client.exact(2).await, "ok");

        // A POST may have had an effect.
        client.send(POST).await;
        peer.head().await;
        end(peer, how);
        client.status(502).await;
        assert!(!upstream.has_waiting().await, "{how:?}: sent twice");
        drop(client);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_that_ends_within_its_header_is_502() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in BREAKS {
        for begin in
            ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"]
        {
            let mut client = Peer::connect(gateway.address()).await;
            client.send(POST).await;
            let (mut peer, _) = upstream.accept_request().await;
            peer.exact(4).await;
            peer.send(begin).await;
            end(peer, how);
            let head = client.status(502).await;
            assert!(head.has("x-kong-request-id"), "{how:?} {begin:?}");
        }
    }
    assert!(!upstream.has_waiting().await, "a request was sent again");
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_invalid\"}", 8.0).await;
}

/// The answers of an upstream that breaks off, each after `part`.
const TRUNCATED: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\npart",
    // All of the body, without its end.
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n",
];

/// A client that would take the part for the whole must not exist: the end is missing or the connection is
/// reset.
#[tokio::test(flavor = "multi_thread")]
async fn http1_client_sees_that_an_answer_broke_off() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in BREAKS {
        for answer in TRUNCATED {
            let mut client = Peer::connect(gateway.address()).await;
            client.send(GET).await;
            let (mut peer, _) = upstream.accept_request().await;
            peer.send(answer).await;
            // A reset would discard what was not read.
            let head = client.status(200).await;
            let chunked = head.has("transfer-encoding");
            let part = if chunked { client.chunk().await } else { client.exact(4).await };
            assert_eq!(part, "part", "{how:?} {answer:?}");
            end(peer, how);
            let rest = client.closed().await;
            assert_eq!(rest, "", "{how:?} {answer:?}: it looks whole");
        }
    }
    idle(&gateway).await;
    gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_invalid\"}", 8.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_gets_a_reset_of_the_stream_when_an_answer_breaks_off() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    for how in BREAKS {
        for answer in TRUNCATED {
            let (pending, _) = client.send(http2::get("/"), true).await;
            let (mut peer, _) = upstream.accept_request().await;
            peer.send(answer).await;
            let mut body = soon("an answer", pending).await.unwrap().into_body();
            assert_eq!(http2::part(&mut body).await.unwrap().unwrap(), "part", "{how:?} {answer:?}");
            end(peer, how);
            let error = http2::part(&mut body).await.expect("no clean end").unwrap_err();
            assert!(error.is_reset() && error.is_remote(), "{how:?} {answer:?}: {error}");
        }
    }
    // Other streams of the connection live on.
    let (pending, _) = client.send(http2::get("/"), true).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(OK).await;
    assert_eq!(soon("an answer", pending).await.unwrap().status(), 200);
}

/// The upstream has the whole request, and closes without an answer.
#[tokio::test(flavor = "multi_thread")]
async fn request_without_answer_is_502_and_leaves_the_client_connected() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for how in BREAKS {
        client.send(POST).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.exact(4).await;
        end(peer, how);
        let head = client.status(502).await;
        let length = head.value("content-length").parse().unwrap();
        client.exact(length).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        answered_now(&mut client, &mut peer).await;
        // Not to be used by the next round.
        drop(peer);
    }
    let mut peer = {
        client.send(GET).await;
        upstream.accept_request().await.0
    };
    answered_now(&mut client, &mut peer).await;
    answered(&mut client, POST, &mut peer).await;
}

async fn answered_now(client: &mut Peer, peer: &mut Peer) {
    peer.send(OK).await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
}
