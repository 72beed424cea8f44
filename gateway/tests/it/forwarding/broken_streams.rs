//! Upstreams of HTTP/2 that end a stream, or the connection of all streams, too early.

use h2::Reason;

use super::http2::{self, Client};
use super::raw::{Peer, soon};
use super::{idle, to_http2};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_an_http2_upstream_resets_breaks_the_answer_off() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);

    let mut client = Peer::connect(gateway.address()).await;
    client.send(GET).await;
    let mut body = upstream.accept().await.begin(200);
    body.send_data("part".into(), false).unwrap();
    client.status(200).await;
    assert_eq!(client.chunk().await, "part");
    body.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(client.closed().await, "");

    let mut client = Client::connect(gateway.address()).await;
    let (pending, _) = client.send(http2::get("/"), true).await;
    let mut body = upstream.accept().await.begin(200);
    body.send_data("part".into(), false).unwrap();
    let mut answer = soon("an answer", pending).await.unwrap().into_body();
    assert_eq!(http2::part(&mut answer).await.unwrap().unwrap(), "part");
    body.send_reset(Reason::INTERNAL_ERROR);
    assert!(http2::part(&mut answer).await.expect("no clean end").unwrap_err().is_reset());

    // Before the header of an answer.
    let (pending, _) = client.send(http2::post("/"), true).await;
    upstream.accept().await.respond.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(soon("an answer", pending).await.unwrap().status(), 502);
}

/// The connection of HTTP/2 ends with all its streams. The next request makes another one.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_connection_of_an_http2_upstream() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let mut body = upstream.accept().await.begin(200);
        body.send_data("part".into(), false).unwrap();
        client.status(200).await;
        assert_eq!(client.chunk().await, "part");
        clients.push((client, body));
    }
    assert_eq!(upstream.connections(), 1);
    upstream.abort_connections();
    for (mut client, _) in clients {
        assert_eq!(client.closed().await, "");
    }
    let mut client = Client::connect(gateway.address()).await;
    let serve = async { upstream.accept().await.begin(200).send_data("ok".into(), true).unwrap() };
    assert_eq!(tokio::join!(client.get("/"), serve).0.status(), 200);
    assert_eq!(upstream.connections(), 2);
}

/// An answer of HTTP/2 that is shorter or longer than it says.
#[tokio::test(flavor = "multi_thread")]
async fn answer_of_another_length_does_not_look_whole() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    for data in ["par", "part and more"] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(GET).await;
        let mut stream = upstream.accept().await;
        let mut head = http2::response(200);
        head.headers_mut().insert("content-length", 4.into());
        let mut body = stream.respond.send_response(head, false).unwrap();
        client.status(200).await;
        body.send_data(data.into(), true).unwrap();
        assert!(client.closed().await.len() < 4, "{data}");
    }
    idle(&gateway).await;
}
