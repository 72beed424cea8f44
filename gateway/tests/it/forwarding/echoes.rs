//! Neither direction waits for the other: a blocked one must not hold up the other one.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TE};
use model::{Protocol, Service};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::http2::{self, Client};
use super::raw::{Peer, SOON, Upstream, soon};
use super::{noise, to, to_http2, to_service};
use crate::support::{Gateway, at};

/// More than all the buffers on the way hold.
const LENGTH: usize = 10 << 20;
/// A slow reader takes this much at a time.
const SIP: usize = 4096;

/// Sends back what comes as it comes. It reads on while it cannot write, so that the upload is never blocked
/// by the upstream itself.
async fn echo_http1(upstream: &Upstream) {
    let (mut peer, head) = upstream.accept_request().await;
    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
    let is_chunked = head.has("transfer-encoding");
    let (ready, mut parts) = mpsc::unbounded_channel();
    let (mut reader, mut writer) = peer.split();
    let read = async move {
        let mut left = LENGTH;
        while left > 0 {
            let part = if is_chunked { reader.chunk().await } else { reader.some().await };
            left -= part.len();
            ready.send(part).unwrap();
        }
        reader
    };
    let write = async {
        while let Some(part) = parts.recv().await {
            soon("a write", writer.write_all(&part)).await.unwrap();
        }
    };
    tokio::join!(read, write);
}

async fn echo_http2(upstream: &mut http2::Upstream) {
    let mut stream = upstream.accept().await;
    let mut head = http2::response(200);
    head.headers_mut().insert(CONTENT_LENGTH, LENGTH.into());
    let mut answer = stream.respond.send_response(head, false).unwrap();
    let (ready, mut parts) = mpsc::unbounded_channel();
    let read = async move {
        while let Some(part) = http2::part(stream.request.body_mut()).await {
            ready.send(part.unwrap()).unwrap();
        }
    };
    let write = async {
        while let Some(part) = parts.recv().await {
            assert!(http2::send_part(&mut answer, part).await);
        }
        // The client may have left: it knows the length.
        answer.send_data(Bytes::new(), true).ok();
    };
    tokio::join!(read, write);
}

fn request() -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n")
}

/// Writes all before it reads anything, and then reads in sips.
async fn write_then_read_http1(gateway: SocketAddr) {
    let (body, mut client) = (noise(LENGTH), Peer::connect(gateway).await);
    client.send(request()).await;
    client.send(&body).await;
    client.status(200).await;
    for sip in body.chunks(SIP) {
        assert!(client.exact(sip.len()).await == sip);
    }
}

async fn write_then_read_http2(gateway: SocketAddr, grpc: bool) {
    let (body, mut client) = (noise(LENGTH), Client::connect(gateway).await);
    let mut request = http2::post("/");
    if grpc {
        request.headers_mut().insert(CONTENT_TYPE, "application/grpc".parse().unwrap());
        request.headers_mut().insert(TE, "trailers".parse().unwrap());
    } else {
        request.headers_mut().insert(CONTENT_LENGTH, LENGTH.into());
    }
    let (answer, mut upload) = client.send(request, false).await;
    assert!(http2::send_part(&mut upload, body.clone()).await);
    upload.send_data(Bytes::new(), true).unwrap();
    let answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let (echoed, _) = http2::whole(&mut answer.into_body()).await;
    assert!(echoed == body);
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_that_writes_first_gets_its_echo() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    tokio::join!(echo_http1(&upstream), write_then_read_http1(gateway.address()));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_that_writes_first_gets_its_echo() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    tokio::join!(echo_http1(&upstream), write_then_read_http2(gateway.address(), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_client_that_writes_first_gets_its_echo() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = Gateway::start();
    let protocols = vec![Protocol::Grpc, Protocol::Grpcs];
    let route = model::Route { protocols, strip_path: false, ..crate::support::route(1, "/") };
    gateway.serve(Service { protocol: Protocol::Grpc, ..at(1, upstream.address) }, route);
    tokio::join!(echo_http2(&mut upstream), write_then_read_http2(gateway.address(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_gets_its_echo_from_an_http2_upstream() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    tokio::join!(echo_http2(&mut upstream), write_then_read_http1(gateway.address()));
}

/// The client has all of the answer but its last byte before the upstream reads a byte of the request's body.
#[tokio::test(flavor = "multi_thread")]
async fn answer_passes_while_the_upload_is_blocked() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let body = noise(LENGTH);
    let (mut reader, mut writer) = Peer::connect(gateway.address()).await.split();
    let upload = async {
        writer.write_all(request().as_bytes()).await.unwrap();
        writer.write_all(&body).await.unwrap();
    };
    let turns = async {
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
        let (read, ()) = tokio::join!(
            async {
                reader.status(200).await;
                reader.exact(LENGTH - 1).await
            },
            peer.send(&body[..LENGTH - 1])
        );
        assert!(read == body[..LENGTH - 1]);
        for sip in body.chunks(SIP) {
            assert!(peer.exact(sip.len()).await == sip);
        }
        peer.send(&body[LENGTH - 1..]).await;
        reader.exact(1).await
    };
    tokio::join!(soon("an upload", upload), turns);
}

/// A client that pauses holds up its own streams alone.
#[tokio::test(flavor = "multi_thread")]
async fn stream_that_is_not_read_does_not_hold_up_another() {
    let origin = testkit::origin::Origin::start();
    origin.answer_with(|received| {
        let length = if received.target == "/large" { 4 << 20 } else { 5 };
        testkit::origin::Answer::status(200).size(length)
    });
    let gateway = to_service(at(1, origin.address()));
    let mut settings = h2::client::Builder::new();
    settings.initial_connection_window_size(1 << 20);
    let mut client = Client::with(&settings, gateway.address()).await;
    let unread = client.get("/large").await;
    for _ in 0..10 {
        let mut small = client.get("/small").await.into_body();
        assert_eq!(http2::part(&mut small).await.unwrap().unwrap(), "xxxxx");
    }
    let (large, _) = tokio::time::timeout(SOON, http2::whole(&mut unread.into_body())).await.unwrap();
    assert_eq!(large.len(), 4 << 20);
}
