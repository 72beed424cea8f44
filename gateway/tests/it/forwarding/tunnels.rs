//! Tunnels: after the 101, both sides get each other's bytes and none of the gateway's.

use model::Service;

use super::raw::{Peer, Upstream};
use super::{idle, to, to_service};
use crate::support::at;

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Both ends of a tunnel.
async fn open(upstream: &Upstream, gateway: std::net::SocketAddr) -> (Peer, Peer) {
    let mut client = Peer::connect(gateway).await;
    client.send(UPGRADE).await;
    let (mut peer, head) = upstream.accept_request().await;
    assert_eq!((head.value("connection"), head.value("upgrade")), ("Upgrade".into(), "websocket".into()));
    peer.send(SWITCH).await;
    let head = client.status(101).await;
    assert_eq!(head.value("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    (client, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn client_of_a_tunnel_that_the_upstream_resets_reads_an_end_alone() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for spoken in [false, true] {
        let (mut client, mut peer) = open(&upstream, gateway.address()).await;
        if spoken {
            client.send("ping").await;
            assert_eq!(peer.exact(4).await, "ping");
            peer.send("pong").await;
            assert_eq!(client.exact(4).await, "pong");
        }
        peer.reset();
        assert_eq!(client.closed().await, "");
        idle(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_of_a_tunnel_that_the_client_resets_reads_an_end_alone() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let (client, mut peer) = open(&upstream, gateway.address()).await;
    client.reset();
    assert_eq!(peer.closed().await, "");
    idle(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_tunnel_ends_without_a_byte() {
    let upstream = Upstream::start().await;
    for timeouts in [Service { read_timeout: 300, ..at(1, upstream.address) }] {
        let gateway = to_service(timeouts);
        let (mut client, mut peer) = open(&upstream, gateway.address()).await;
        client.send("ping").await;
        assert_eq!(peer.exact(4).await, "ping");
        let (told, heard) = tokio::join!(client.closed(), peer.closed());
        assert_eq!((&told[..], &heard[..]), (&b""[..], &b""[..]));
        gateway.wait_metric("gibbon_http_requests_in_flight", 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_ends_its_half_reads_on() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let (mut client, mut peer) = open(&upstream, gateway.address()).await;
    client.send("last words").await;
    client.finish().await;
    assert_eq!(peer.closed().await, "last words");
    for _ in 0..3 {
        peer.send("still here").await;
        assert_eq!(client.exact(10).await, "still here");
    }
    drop(peer);
    assert_eq!(client.closed().await, "");
    idle(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstream_that_ends_its_half_reads_on() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let (mut client, mut peer) = open(&upstream, gateway.address()).await;
    peer.send("last words").await;
    peer.finish().await;
    assert_eq!(client.closed().await, "last words");
    for _ in 0..3 {
        client.send("still here").await;
        assert_eq!(peer.exact(10).await, "still here");
    }
    drop(client);
    assert_eq!(peer.closed().await, "");
    idle(&gateway).await;
}

/// Bytes may follow a header in the same write, on both sides.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_close_behind_the_headers_are_not_lost() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(format!("{UPGRADE}early")).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(format!("{SWITCH}at once")).await;
    client.status(101).await;
    assert_eq!(client.exact(7).await, "at once");
    assert_eq!(peer.exact(5).await, "early");
}

/// The upstream declines: HTTP goes on.
#[tokio::test(flavor = "multi_thread")]
async fn refused_upgrade_leaves_the_connection_to_http() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(UPGRADE).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    client.status(403).await;
    assert_eq!(client.exact(2).await, "no");
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let head = peer.head().await;
    assert!(!head.has("upgrade") && !head.has("connection"), "{}", head.text());
    peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    client.status(204).await;
}
