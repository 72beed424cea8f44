//! Trailers, in both directions and between the versions (RFC 9110, section 6.5).

use bytes::Bytes;
use http::HeaderMap;

use super::http2::{self, Client, Stream};
use super::raw::{Head, Peer, Upstream, soon};
use super::{to, to_http2};

/// Trailers that pass.
const PASSED: [(&str, &str); 2] = [("x-checksum", "abc"), ("server-timing", "db;dur=53")];

/// Fields that frame, route, authenticate, or that the gateway sets: no recipient may find them in trailers.
const RESERVED: [&str; 14] = [
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "proxy-authorization",
    "set-cookie",
    "trailer",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-kong-request-id",
    "x-real-ip",
];

/// Those that HTTP/2 itself rejects.
const OF_ONE_CONNECTION: [&str; 5] = ["connection", "keep-alive", "te", "transfer-encoding", "upgrade"];

/// The value of all reserved trailers.
const VALUE: &str = "5";

/// A chunked body `body` with good trailers and reserved ones.
fn chunked() -> String {
    let mut text = String::from("4\r\nbody\r\n0\r\n");
    for (name, value) in PASSED {
        text += &format!("{name}: {value}\r\n");
    }
    for name in RESERVED.iter().chain(&OF_ONE_CONNECTION) {
        text += &format!("{name}: {VALUE}\r\n");
    }
    text + "\r\n"
}

fn map() -> HeaderMap {
    let reserved = RESERVED.into_iter().map(|name| (name, VALUE));
    let all = PASSED.into_iter().chain(reserved);
    all.map(|(name, value)| (name.parse().unwrap(), value.parse::<http::HeaderValue>().unwrap())).collect()
}

fn answer() -> String {
    format!("HTTP/1.1 200 OK\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunked())
}

fn passed_text() -> Vec<String> {
    PASSED.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

#[track_caller]
fn assert_passed_text((body, mut trailers): (Vec<u8>, Vec<String>)) {
    assert_eq!(body, b"body");
    trailers.iter_mut().for_each(|line| line.make_ascii_lowercase());
    trailers.sort();
    let mut expected = passed_text();
    expected.sort();
    assert_eq!(trailers, expected);
}

#[track_caller]
fn assert_passed_map((body, trailers): (Vec<u8>, Option<HeaderMap>)) {
    assert_eq!(body, b"body");
    let trailers = trailers.expect("trailers");
    for (name, value) in PASSED {
        assert_eq!(trailers.get(name).unwrap(), value);
    }
    assert_eq!(trailers.len(), PASSED.len(), "{trailers:?}");
}

/// Answers with a body and trailers once the whole request has come.
async fn answer_http2(mut stream: Stream) {
    http2::whole(stream.request.body_mut()).await;
    let mut body = stream.begin(200);
    body.send_data("body".into(), false).unwrap();
    body.send_trailers(map()).unwrap();
}

async fn get(client: &mut Peer, fields: &str, version: &str) {
    client.send(format!("GET / HTTP/{version}\r\nHost: h\r\n{fields}\r\n")).await;
}

const TAKES: &str = "TE: trailers\r\nConnection: TE\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_gets_trailers_if_it_takes_them() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    get(&mut client, TAKES, "1.1").await;
    let (mut peer, head) = upstream.accept_request().await;
    assert_eq!(head.value("te"), "trailers");
    peer.send(answer()).await;
    client.status(200).await;
    assert_passed_text(client.chunked().await);

    for te in ["", "TE: gzip\r\nConnection: TE\r\n"] {
        get(&mut client, te, "1.1").await;
        assert!(!peer.head().await.has("te"), "{te}");
        peer.send(answer()).await;
        client.status(200).await;
        assert_eq!(client.chunked().await, (b"body".to_vec(), vec![]), "{te}");
    }
    // On the same connection: it has not lost its place.
    get(&mut client, "TE: gzip, Trailers ;q=1\r\nConnection: TE\r\n", "1.1").await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn http10_client_gets_no_trailers() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    get(&mut client, TAKES, "1.0").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(answer()).await;
    client.status(200).await;
    assert_eq!(client.closed().await, "body");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_gets_trailers_of_an_http1_upstream() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let serve = async {
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(answer()).await;
        peer
    };
    let (answer, _peer) = tokio::join!(client.get("/"), serve);
    assert_passed_map(http2::whole(&mut answer.into_body()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_gets_trailers_of_an_http2_upstream_if_it_takes_them() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    get(&mut client, TAKES, "1.1").await;
    answer_http2(upstream.accept().await).await;
    client.status(200).await;
    assert_passed_text(client.chunked().await);

    get(&mut client, "", "1.1").await;
    answer_http2(upstream.accept().await).await;
    client.status(200).await;
    assert_eq!(client.chunked().await, (b"body".to_vec(), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways_between_http2_and_http2() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let mut request = http2::post("/");
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    let (answer, mut body) = client.send(request, false).await;
    body.send_data("body".into(), false).unwrap();
    body.send_trailers(map()).unwrap();

    let mut stream = upstream.accept().await;
    assert_eq!(stream.request.headers()["te"], "trailers");
    assert_passed_map(http2::whole(stream.request.body_mut()).await);
    let mut body = stream.begin(200);
    body.send_data("body".into(), false).unwrap();
    body.send_trailers(map()).unwrap();
    let answer = soon("an answer", answer).await.unwrap();
    assert_passed_map(http2::whole(&mut answer.into_body()).await);
}

/// An answer that has trailers and no data, as gRPC has for errors after its header.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_behind_an_empty_body() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let serve = async {
        upstream.accept().await.begin(200).send_trailers(map()).unwrap();
    };
    let (answer, ()) = tokio::join!(client.get("/"), serve);
    let (body, trailers) = http2::whole(&mut answer.into_body()).await;
    assert_eq!((body.len(), trailers.unwrap().len()), (0, PASSED.len()));
}

fn request() -> String {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTrailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{}", chunked())
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_http1_request_reach_an_http1_upstream() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(request()).await;
    let (mut peer, head) = upstream.accept_request().await;
    assert_ours_alone(&head);
    assert_passed_text(peer.chunked().await);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    client.status(200).await;
    assert_eq!(client.exact(2).await, "ok");
}

/// A trailer never becomes a field of the header, where it would be believed.
#[track_caller]
fn assert_ours_alone(head: &Head) {
    assert_eq!(head.value("x-forwarded-for"), "127.0.0.1");
    assert!(!head.has("authorization") && !head.has("x-checksum"), "{}", head.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_http1_request_reach_an_http2_upstream() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(request()).await;
    let mut stream = upstream.accept().await;
    assert_passed_map(http2::whole(stream.request.body_mut()).await);
    stream.begin(200).send_data(Bytes::new(), true).unwrap();
    client.status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_http2_request_reach_an_http1_upstream() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let (answer, mut body) = client.send(http2::post("/"), false).await;
    body.send_data("body".into(), false).unwrap();
    body.send_trailers(map()).unwrap();
    let (mut peer, head) = upstream.accept_request().await;
    assert_ours_alone(&head);
    assert_passed_text(peer.chunked().await);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
}
