//! Interim answers (RFC 9110, section 15.2) in every pair of versions. The upstream goes on only when the
//! client has read what came before.

use bytes::Bytes;
use http::header::EXPECT;
use testkit::curl::curl;
use testkit::origin::{Answer, Origin};

use super::http2::{self, Client};
use super::raw::{Peer, Upstream, soon};
use super::{to, to_http2};

const HINTS: [&str; 3] = ["</a.css>; rel=preload", "</b.css>; rel=preload", "</c.js>; rel=preload"];
const FINAL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn hint(link: &str) -> String {
    format!("HTTP/1.1 103 Early Hints\r\nLink: {link}\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n")
}

fn expecting() -> http::Request<()> {
    let mut request = http2::post("/");
    request.headers_mut().insert(EXPECT, "100-continue".parse().unwrap());
    request
}

/// Reads an interim answer as a client of HTTP/1.1.
async fn read_hint(client: &mut Peer, link: &str) {
    let head = client.status(103).await;
    assert_eq!(head.value("link"), link);
    for name in ["x-hop", "content-length", "transfer-encoding"] {
        assert!(!head.has(name), "{}", head.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_pass_from_http1_to_http1() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(GET).await;
    let (mut peer, _) = upstream.accept_request().await;
    for link in HINTS {
        peer.send(hint(link)).await;
        read_hint(&mut client, link).await;
    }
    peer.send(FINAL).await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");

    // All in one write, with the final answer.
    client.send(GET).await;
    peer.head().await;
    peer.send(HINTS.map(hint).concat() + FINAL).await;
    for link in HINTS {
        read_hint(&mut client, link).await;
    }
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_pass_from_http1_to_http2() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let (mut answer, _) = client.send(http2::get("/"), true).await;
    let (mut peer, _) = upstream.accept_request().await;
    for link in HINTS {
        peer.send(hint(link)).await;
        let interim = http2::interim(&mut answer).await.expect("an interim answer");
        assert_eq!((interim.status().as_u16(), interim.headers()["link"].to_str().unwrap()), (103, link));
        assert!(!interim.headers().contains_key("x-hop"));
    }
    peer.send(FINAL).await;
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_pass_from_http2_to_http1() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(GET).await;
    let mut stream = upstream.accept().await;
    for link in HINTS {
        stream.interim(103, &[("link", link)]);
        read_hint(&mut client, link).await;
    }
    stream.begin(200).send_data("ok".into(), true).unwrap();
    client.status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_pass_from_http2_to_http2() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let (mut answer, _) = client.send(http2::get("/"), true).await;
    let mut stream = upstream.accept().await;
    for link in HINTS {
        stream.interim(103, &[("link", link)]);
        let interim = http2::interim(&mut answer).await.expect("an interim answer");
        assert_eq!((interim.status().as_u16(), interim.headers()["link"].to_str().unwrap()), (103, link));
    }
    stream.begin(200).send_data("ok".into(), true).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
}

/// An HTTP/1.0 client would take an interim answer for the final one (RFC 9110, section 15.2).
#[tokio::test(flavor = "multi_thread")]
async fn http10_client_gets_the_final_answer_alone() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(HINTS.map(hint).concat() + CONTINUE + FINAL).await;
    client.status(200).await;
    assert_eq!(client.closed().await, "ok");

    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
    let mut stream = upstream.accept().await;
    stream.interim(103, &[("link", HINTS[0])]);
    stream.begin(200).send_data("ok".into(), true).unwrap();
    client.status(200).await;
    assert_eq!(client.closed().await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn body_waits_for_100_from_http1_to_http1() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(POST).await;
    let (mut peer, head) = upstream.accept_request().await;
    assert_eq!(head.value("expect"), "100-continue");
    peer.send(CONTINUE).await;
    client.status(100).await;
    client.send("body").await;
    assert_eq!(peer.exact(4).await, "body");
    peer.send(FINAL).await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");

    // The same connection again, after hints.
    client.send(POST).await;
    peer.head().await;
    peer.send(hint(HINTS[0]) + CONTINUE).await;
    read_hint(&mut client, HINTS[0]).await;
    client.status(100).await;
    client.send("body").await;
    assert_eq!(peer.exact(4).await, "body");
    peer.send(FINAL).await;
    client.status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn body_waits_for_100_from_http1_to_http2() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let (mut answer, mut body) = client.send(expecting(), false).await;
    let (mut peer, head) = upstream.accept_request().await;
    assert_eq!(head.value("expect"), "100-continue");
    peer.send(CONTINUE).await;
    assert_eq!(http2::interim(&mut answer).await.expect("an interim answer").status(), 100);
    body.send_data("body".into(), true).unwrap();
    assert_eq!(peer.chunked().await.0, b"body");
    peer.send(FINAL).await;
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn body_waits_for_100_from_http2_to_http1() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(POST).await;
    let mut stream = upstream.accept().await;
    stream.interim(100, &[]);
    client.status(100).await;
    client.send("body").await;
    assert_eq!(http2::whole(stream.request.body_mut()).await.0, b"body");
    stream.begin(200).send_data(Bytes::new(), true).unwrap();
    client.status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn body_waits_for_100_from_http2_to_http2() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let (mut answer, mut body) = client.send(expecting(), false).await;
    let mut stream = upstream.accept().await;
    stream.interim(100, &[]);
    assert_eq!(http2::interim(&mut answer).await.expect("an interim answer").status(), 100);
    body.send_data("body".into(), true).unwrap();
    assert_eq!(http2::whole(stream.request.body_mut()).await.0, b"body");
    stream.begin(200).send_data(Bytes::new(), true).unwrap();
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
}

/// curl would wait this long, and the test fails after 20 s.
#[tokio::test(flavor = "multi_thread")]
async fn curl_does_not_wait_for_its_timeout() {
    let (origin, folder) = (Origin::start(), tempfile::tempdir().unwrap());
    origin.answer(Answer::echo());
    let gateway = to(origin.address());
    let file = folder.path().join("body");
    std::fs::write(&file, vec![b'x'; 100_000]).unwrap();
    let (file, url) = (format!("@{}", file.display()), format!("http://{}/", gateway.address()));
    for version in ["--http2-prior-knowledge", "--http1.1"] {
        let expect = ["--header", "Expect: 100-continue", "--expect100-timeout", "60", "--fail"];
        let all = [&expect[..], &[version, "-o", "/dev/null", "--data-binary", &file, &url]].concat();
        curl(&all).await.unwrap();
        assert_eq!(origin.last().body.len(), 100_000, "{version}");
    }
}
