//! Clients that leave in every state of their request. The request ends, and so does the upstream's work for
//! it.

use bytes::Bytes;
use h2::Reason;
use model::Service;
use testkit::unreachable::Blackhole;
use tokio::time::timeout;

use super::http2::{self, Client};
use super::raw::{Peer, Upstream};
use super::{NOTICED, idle, in_flight, noise, to, to_http2, to_service};
use crate::support::{Gateway, at};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";
const ENDLESS: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";

/// How an HTTP/1.1 client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
}

const LEAVES: [Leave; 2] = [Leave::Close, Leave::Reset];

fn leave(client: Peer, how: Leave) {
    match how {
        Leave::Close => drop(client),
        Leave::Reset => client.reset(),
    }
}

/// How a stream of HTTP/2 ends: alone, or with its connection.
#[derive(Clone, Copy, Debug)]
enum Abandon {
    Stream,
    Connection,
}

const ABANDONS: [Abandon; 2] = [Abandon::Stream, Abandon::Connection];

/// Waits until the request has ended at the gateway, and its connection at the upstream.
async fn gone(gateway: &Gateway, peer: &mut Peer, case: &str) {
    idle(gateway).await;
    timeout(NOTICED, peer.closed()).await.unwrap_or_else(|_| panic!("{case}: the upstream goes on"));
}

/// A service whose address neither accepts nor refuses.
fn unreachable(hole: &Blackhole) -> Service {
    Service { retries: 0, ..at(1, hole.address()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_leaves_while_the_gateway_connects() {
    let hole = Blackhole::start();
    let gateway = to_service(unreachable(&hole));
    for how in LEAVES {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        in_flight(&gateway, 1).await;
        leave(client, how);
        idle(&gateway).await;
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"client_closed\"}", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_leaves_while_the_gateway_connects() {
    let hole = Blackhole::start();
    let gateway = to_service(unreachable(&hole));
    for how in ABANDONS {
        let mut client = Client::connect(gateway.address()).await;
        let (answer, mut stream) = client.send(http2::get("/"), true).await;
        in_flight(&gateway, 1).await;
        abandon(how, &mut client, &mut stream);
        idle(&gateway).await;
        drop(answer);
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"client_closed\"}", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_leaves_before_its_answer() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in LEAVES {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        leave(client, how);
        gone(&gateway, &mut peer, &format!("{how:?}")).await;
    }
    gateway.wait_metric("gibbon_http_errors_total{reason=\"client_closed\"}", 2.0).await;
}

/// The bytes of a next request wait in the connection, in front of its end.
#[tokio::test(flavor = "multi_thread")]
async fn http1_client_leaves_behind_a_pipelined_request() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send([GET, GET, "GET / HT"].concat()).await;
    let (mut peer, _) = upstream.accept_request().await;
    leave(client, Leave::Close);
    gone(&gateway, &mut peer, "pipelined").await;
    assert!(!upstream.has_waiting().await, "the second request is nobody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_leaves_amid_its_upload() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in LEAVES {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(UPLOAD).await;
        client.send("some").await;
        let (mut peer, _) = upstream.accept_request().await;
        assert_eq!(peer.exact(4).await, "some");
        leave(client, how);
        gone(&gateway, &mut peer, &format!("{how:?}")).await;
    }
}

/// The upload is blocked, as the upstream does not read: the gateway does not read either, and cannot see the
/// end behind the bytes that wait. The timeout of a write to the upstream ends the request.
#[tokio::test(flavor = "multi_thread")]
async fn http1_client_leaves_amid_a_blocked_upload() {
    let upstream = Upstream::start().await;
    let gateway = to_service(Service { write_timeout: 500, ..at(1, upstream.address) });
    let mut client = Peer::connect(gateway.address()).await;
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n").await;
    let (_peer, _) = upstream.accept_request().await;
    fill(&mut client).await;
    leave(client, Leave::Reset);
    idle(&gateway).await;
}

/// Writes until nothing is taken any more.
async fn fill(peer: &mut Peer) {
    use tokio::io::AsyncWriteExt;
    let bytes = noise(64 << 10);
    while timeout(std::time::Duration::from_millis(300), peer.stream().write(&bytes)).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_leaves_amid_its_answer() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in LEAVES {
        // The upstream pauses, and nothing is written that could fail.
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("{ENDLESS}part")).await;
        client.status(200).await;
        assert_eq!(client.exact(4).await, "part");
        leave(client, how);
        gone(&gateway, &mut peer, &format!("{how:?}, paused")).await;

        // The upstream sends, and the client does not read.
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(ENDLESS).await;
        client.status(200).await;
        fill(&mut peer).await;
        leave(client, how);
        gone(&gateway, &mut peer, &format!("{how:?}, blocked")).await;
    }
}

fn abandon(how: Abandon, client: &mut Client, stream: &mut h2::SendStream<Bytes>) {
    match how {
        Abandon::Stream => stream.send_reset(Reason::CANCEL),
        Abandon::Connection => client.abort(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_leaves_before_its_answer() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in ABANDONS {
        let mut client = Client::connect(gateway.address()).await;
        let (answer, mut stream) = client.send(http2::get("/"), true).await;
        let (mut peer, _) = upstream.accept_request().await;
        abandon(how, &mut client, &mut stream);
        gone(&gateway, &mut peer, &format!("{how:?}")).await;
        drop(answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_leaves_amid_its_upload() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in ABANDONS {
        let mut client = Client::connect(gateway.address()).await;
        let (answer, mut stream) = client.send(http2::post("/"), false).await;
        assert!(http2::send_part(&mut stream, "some".into()).await);
        let (mut peer, _) = upstream.accept_request().await;
        assert_eq!(peer.chunk().await, "some");
        abandon(how, &mut client, &mut stream);
        idle(&gateway).await;
        let rest = timeout(NOTICED, peer.closed()).await.expect("the upstream sees an end");
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{how:?}: a part of a request looks whole");
        drop(answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_leaves_amid_its_answer() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for how in ABANDONS {
        for blocked in [false, true] {
            let mut client = Client::connect(gateway.address()).await;
            let (answer, mut stream) = client.send(http2::get("/"), true).await;
            let (mut peer, _) = upstream.accept_request().await;
            peer.send(format!("{ENDLESS}part")).await;
            let mut body = super::raw::soon("an answer", answer).await.unwrap().into_body();
            assert_eq!(http2::part(&mut body).await.unwrap().unwrap(), "part");
            if blocked {
                fill(&mut peer).await;
            }
            abandon(how, &mut client, &mut stream);
            gone(&gateway, &mut peer, &format!("{how:?}, blocked {blocked}")).await;
        }
    }
}

/// The upstream's connection serves other streams, and lives on.
#[tokio::test(flavor = "multi_thread")]
async fn client_that_leaves_resets_its_stream_of_an_http2_upstream() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    for how in LEAVES {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let stream = upstream.accept().await;
        leave(client, how);
        timeout(NOTICED, stream.was_reset()).await.expect("the stream is reset");
        idle(&gateway).await;
    }
    let mut client = Peer::connect(gateway.address()).await;
    client.send(UPLOAD).await;
    client.send("some").await;
    let mut stream = upstream.accept().await;
    assert_eq!(http2::part(stream.request.body_mut()).await.unwrap().unwrap(), "some");
    drop(client);
    http2::part(stream.request.body_mut()).await.expect("no clean end").unwrap_err();
    idle(&gateway).await;

    let mut client = Client::connect(gateway.address()).await;
    let serve = async { upstream.accept().await.begin(200).send_data("ok".into(), true).unwrap() };
    assert_eq!(tokio::join!(client.get("/"), serve).0.status(), 200);
    assert_eq!(upstream.connections(), 1);
}
