//! Answers that come before the whole request has: while the client holds its body back, and while it sends.

use bytes::Bytes;
use http::header::EXPECT;
use tokio::io::AsyncWriteExt;

use super::http2::{self, Client};
use super::raw::{Peer, Upstream, soon};
use super::{idle, noise, to, to_http2};

/// More than the buffers on the way hold.
const LENGTH: usize = 5 << 20;
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
const TOO_LARGE: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";

/// Whether the upstream reads what it has not asked for before it closes, or resets the connection.
#[derive(Clone, Copy, Debug)]
enum Close {
    Reading,
    AtOnce,
}

#[tokio::test(flavor = "multi_thread")]
async fn final_answer_without_100_reaches_an_http1_client() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for status in [417, 200] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(POST).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("HTTP/1.1 {status} S\r\nContent-Length: 2\r\n\r\nok")).await;
        client.status(status).await;
        assert_eq!(client.exact(2).await, "ok");
        drop(client);
        // It waits for a body that will not come.
        assert_eq!(peer.closed().await, "");
        idle(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn final_answer_without_100_reaches_an_http2_client() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    for status in [417, 200] {
        let mut request = http2::post("/");
        request.headers_mut().insert(EXPECT, "100-continue".parse().unwrap());
        let (answer, body) = client.send(request, false).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("HTTP/1.1 {status} S\r\nContent-Length: 2\r\n\r\nok")).await;
        let answer = soon("an answer", answer).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(http2::whole(&mut answer.into_body()).await.0, b"ok");
        drop(body);
        assert!(!peer.closed().await.starts_with(b"POST"));
        idle(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn final_answer_without_100_passes_from_an_http2_upstream() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    for status in [417, 200] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(POST).await;
        let mut stream = upstream.accept().await;
        stream.begin(status).send_data("ok".into(), true).unwrap();
        client.status(status).await;
        drop(client);
        idle(&gateway).await;
    }
    assert_eq!(upstream.connections(), 1, "an early answer leaves the connection to others");
}

/// Answers 413 to the header, and closes.
async fn refuse(upstream: &Upstream, close: Close) {
    let (mut peer, _) = upstream.accept_request().await;
    // The upload is on its way.
    peer.exact(100).await;
    peer.send(TOO_LARGE).await;
    if matches!(close, Close::Reading) {
        peer.finish().await;
        peer.closed().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_amid_an_upload_reaches_an_http1_client() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for close in [Close::Reading, Close::AtOnce] {
        for framing in [format!("Content-Length: {LENGTH}"), "Transfer-Encoding: chunked".to_owned()] {
            let client = Peer::connect(gateway.address()).await;
            let (mut reader, mut writer) = client.split();
            let upload = async {
                let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n");
                writer.write_all(head.as_bytes()).await.unwrap();
                if framing.ends_with("chunked") {
                    writer.write_all(format!("{LENGTH:x}\r\n").as_bytes()).await.unwrap();
                }
                // The gateway may stop reading.
                writer.write_all(&noise(LENGTH)).await.ok();
                writer.write_all(b"\r\n0\r\n\r\n").await.ok();
                writer
            };
            let answer = async {
                let head = reader.status(413).await;
                assert_eq!(reader.exact(5).await, "large", "{close:?}");
                head
            };
            let all = async { tokio::join!(upload, answer, refuse(&upstream, close)) };
            drop(soon("the answer, and an end of the upload", all).await);
            idle(&gateway).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_amid_an_upload_reaches_an_http2_client() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    for close in [Close::Reading, Close::AtOnce] {
        let (answer, mut body) = client.send(http2::post("/"), false).await;
        // It ends when the gateway resets the stream or takes no more.
        let upload = async {
            if http2::send_part(&mut body, noise(LENGTH)).await {
                body.send_data(Bytes::new(), true).ok();
            }
        };
        let answer = async {
            let answer = soon("an answer", answer).await.unwrap();
            assert_eq!(answer.status(), 413, "{close:?}");
            assert_eq!(http2::whole(&mut answer.into_body()).await.0, b"large", "{close:?}");
        };
        tokio::join!(upload, answer, refuse(&upstream, close));
        idle(&gateway).await;
    }
    // The connection serves others.
    let serve = async {
        let (mut peer, _) = upstream.accept_request().await;
        peer.send("HTTP/1.1 204 N\r\n\r\n").await;
        peer
    };
    assert_eq!(tokio::join!(client.get("/"), serve).0.status(), 204);
}

/// The upstream keeps its connection open, and neither reads the rest nor closes. The gateway waits some
/// seconds for it.
#[tokio::test(flavor = "multi_thread")]
async fn upload_ends_with_an_early_answer_of_an_upstream_that_stays() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let (mut reader, mut writer) = Peer::connect(gateway.address()).await.split();
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n");
    writer.write_all(head.as_bytes()).await.unwrap();
    let (mut peer, _) = upstream.accept_request().await;
    peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge").await;
    let upload = async { writer.write_all(&noise(LENGTH)).await.is_ok() };
    let answer = async {
        reader.status(413).await;
        assert_eq!(reader.exact(5).await, "large");
    };
    let all = async { tokio::join!(upload, answer) };
    soon("the answer, and an end of the upload", all).await;
    gateway.wait_metric("gibbon_http_requests_in_flight", 0.0).await;
    // A connection amid a body is not used again.
    assert!(!peer.closed().await.windows(4).any(|bytes| bytes == b"GET "));
}

/// The rest of the request goes on behind its answer, so that the upstream's connection can be used again.
#[tokio::test(flavor = "multi_thread")]
async fn rest_of_a_request_follows_its_early_answer() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf").await;
    let (mut peer, _) = upstream.accept_request().await;
    assert_eq!(peer.exact(4).await, "half");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
    client.send("half").await;
    assert_eq!(peer.exact(4).await, "half");
    idle(&gateway).await;
    let mut other = Peer::connect(gateway.address()).await;
    other.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    peer.head().await;
    peer.send("HTTP/1.1 204 N\r\n\r\n").await;
    other.status(204).await;
}

/// A client that leaves between its answer and the rest of its request.
#[tokio::test(flavor = "multi_thread")]
async fn rest_of_a_request_ends_with_its_client() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
    client.exact(2).await;
    drop(client);
    assert_eq!(peer.closed().await, "half");
    idle(&gateway).await;
}
