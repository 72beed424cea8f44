//! Server-sent events, and other answers that come in small parts: nothing is held back. The upstream writes
//! the next part only when the client has read the one before.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::http2::{self, Client};
use super::raw::{Peer, Upstream};
use super::{to, to_http2};

const EVENTS: usize = 20;
/// The events of the measurement.
const MEASURED: usize = 200;

/// How the upstream delimits its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Delimited {
    ByChunks,
    ByClose,
}

fn event(number: usize) -> String {
    format!("data: {number}\n\n")
}

fn head(delimited: Delimited) -> String {
    let framing = match delimited {
        Delimited::ByChunks => "Transfer-Encoding: chunked",
        Delimited::ByClose => "Connection: close",
    };
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n")
}

async fn write(upstream: &mut Peer, delimited: Delimited, event: &str) {
    match delimited {
        Delimited::ByChunks => upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await,
        Delimited::ByClose => upstream.send(event).await,
    }
}

async fn end(mut upstream: Peer, delimited: Delimited) {
    if delimited == Delimited::ByChunks {
        upstream.send("0\r\n\r\n").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_an_http1_client_one_by_one() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for delimited in [Delimited::ByChunks, Delimited::ByClose] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let (mut peer, _) = upstream.accept_request().await;
        // The header alone, without a byte of the body.
        peer.send(head(delimited)).await;
        assert_eq!(client.status(200).await.value("transfer-encoding"), "chunked");
        for number in 0..EVENTS {
            write(&mut peer, delimited, &event(number)).await;
            assert_eq!(client.chunk().await, event(number));
        }
        end(peer, delimited).await;
        assert_eq!(client.chunk().await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_an_http10_client_one_by_one() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for delimited in [Delimited::ByChunks, Delimited::ByClose] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(head(delimited)).await;
        assert!(!client.status(200).await.has("transfer-encoding"));
        for number in 0..EVENTS {
            write(&mut peer, delimited, &event(number)).await;
            assert_eq!(client.exact(event(number).len()).await, event(number));
        }
        end(peer, delimited).await;
        assert_eq!(client.closed().await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_an_http2_client_one_by_one() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    for delimited in [Delimited::ByChunks, Delimited::ByClose] {
        let begin = async {
            let (mut peer, _) = upstream.accept_request().await;
            peer.send(head(delimited)).await;
            peer
        };
        let (answer, mut peer) = tokio::join!(client.get("/"), begin);
        let mut body = answer.into_body();
        for number in 0..EVENTS {
            write(&mut peer, delimited, &event(number)).await;
            assert_eq!(http2::part(&mut body).await.unwrap().unwrap(), event(number));
        }
        end(peer, delimited).await;
        assert_eq!(http2::whole(&mut body).await.0, b"");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_an_http2_upstream_pass_one_by_one() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);

    let mut client = Peer::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let mut stream = upstream.accept().await.begin(200);
    client.status(200).await;
    for number in 0..EVENTS {
        assert!(http2::send_part(&mut stream, event(number).into()).await);
        assert_eq!(client.chunk().await, event(number));
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(client.chunk().await, "");

    let mut client = Client::connect(gateway.address()).await;
    let (answer, mut stream) = tokio::join!(client.get("/"), async { upstream.accept().await.begin(200) });
    let mut body = answer.into_body();
    for number in 0..EVENTS {
        assert!(http2::send_part(&mut stream, event(number).into()).await);
        assert_eq!(http2::part(&mut body).await.unwrap().unwrap(), event(number));
    }
}

/// The same towards the upstream: a part of a request's body is there before the client sends the next one.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_request_reach_the_upstream_one_by_one() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    // The header alone: the upstream may want to answer it.
    let (mut peer, _) = upstream.accept_request().await;
    for number in 0..EVENTS {
        write(&mut client, Delimited::ByChunks, &event(number)).await;
        assert_eq!(peer.chunk().await, event(number));
    }

    let mut client = Client::connect(gateway.address()).await;
    let (_answer, mut body) = client.send(http2::post("/"), false).await;
    let (mut peer, _) = upstream.accept_request().await;
    for number in 0..EVENTS {
        assert!(http2::send_part(&mut body, event(number).into()).await);
        assert_eq!(peer.chunk().await, event(number));
    }
}

/// Prints the median of the time from the write of the upstream to the read of the client. The bound allows
/// for a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delay_of_an_event_is_measured() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(head(Delimited::ByChunks)).await;
    client.status(200).await;
    let mut delays = Vec::with_capacity(MEASURED);
    for number in 0..MEASURED {
        let written = Instant::now();
        write(&mut peer, Delimited::ByChunks, &event(number)).await;
        assert_eq!(client.chunk().await, event(number));
        delays.push(written.elapsed());
    }
    delays.sort_unstable();
    let (median, longest) = (delays[MEASURED / 2], delays[MEASURED - 1]);
    println!("delay of an event: median {median:?}, at most {longest:?}");
    assert!(median < Duration::from_secs(1), "{median:?}");
}
