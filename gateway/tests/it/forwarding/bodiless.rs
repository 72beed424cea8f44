//! Answers without a body: to HEAD, 204 and 304, whatever their header says. The connection to the client
//! works afterwards.

use super::http2::{self, Client};
use super::raw::{Peer, Upstream, soon};
use super::{to, to_http2};

/// What the client must find in place of a framing.
#[derive(Clone, Copy, Debug)]
enum Stated {
    /// `Content-Length`, as it came.
    Length(&'static str),
    /// No `Content-Length`. `Transfer-Encoding` may say what a GET would bring (RFC 9112, section 6.1).
    NoLength,
    /// Neither (RFC 9110, section 8.6; RFC 9112, section 6.1).
    Nothing,
}

/// Method, status, and fields of the answer; what the client finds.
const ANSWERS: [(&str, u16, &str, Stated); 14] = [
    ("HEAD", 200, "Content-Length: 5\r\n", Stated::Length("5")),
    ("HEAD", 200, "Content-Length: 0\r\n", Stated::Length("0")),
    ("HEAD", 200, "Transfer-Encoding: chunked\r\n", Stated::NoLength),
    ("HEAD", 200, "", Stated::NoLength),
    ("HEAD", 404, "Content-Length: 1234567\r\n", Stated::Length("1234567")),
    ("HEAD", 304, "Content-Length: 5\r\n", Stated::Length("5")),
    ("GET", 204, "", Stated::Nothing),
    ("GET", 204, "Content-Length: 0\r\n", Stated::Nothing),
    ("DELETE", 204, "Content-Length: 0\r\n", Stated::Nothing),
    ("HEAD", 204, "Content-Length: 0\r\n", Stated::Nothing),
    ("GET", 304, "", Stated::NoLength),
    ("GET", 304, "Content-Length: 5\r\n", Stated::Length("5")),
    ("GET", 304, "Transfer-Encoding: chunked\r\n", Stated::NoLength),
    ("GET", 200, "Content-Length: 0\r\n", Stated::Length("0")),
];

/// Those whose connection is in doubt, as bytes may follow that the upstream counts as a body.
const DOUBTFUL: [(&str, u16, &str); 2] =
    [("GET", 204, "Content-Length: 5\r\n"), ("GET", 204, "Transfer-Encoding: chunked\r\n")];

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_gets_no_more_than_the_header() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send(HELLO).await;
    client.status(200).await;
    assert_eq!(client.exact(5).await, "hello");
    for (method, status, fields, stated) in ANSWERS {
        let case = format!("{method} {status} {fields:?}");
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let asked = peer.head().await;
        assert!(asked.text().starts_with(&format!("{method} / HTTP/1.1\r\n")), "{case}");
        peer.send(format!("HTTP/1.1 {status} S\r\nETag: \"a\"\r\n{fields}\r\n")).await;
        let head = client.status(status).await;
        assert_eq!(head.value("etag"), "\"a\"", "{case}");
        match stated {
            Stated::Length(length) => assert_eq!(head.values("content-length"), [length], "{case}"),
            Stated::NoLength => assert!(!head.has("content-length"), "{case}: {}", head.text()),
            Stated::Nothing => {
                assert!(
                    !head.has("content-length") && !head.has("transfer-encoding"),
                    "{case}: {}",
                    head.text()
                );
            }
        }
        // Both connections work: a byte too many would be read as a part of the next answer.
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(peer.head().await.text().starts_with("GET /next "), "{case}");
        peer.send(HELLO).await;
        client.status(200).await;
        assert_eq!(client.exact(5).await, "hello", "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_gets_no_more_than_the_header() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let mut waiting: Option<Peer> = None;
    for (method, status, fields, stated) in ANSWERS {
        let case = format!("{method} {status} {fields:?}");
        let request = http::Request::builder().method(method).uri("http://h/").body(()).unwrap();
        let (answer, _) = client.send(request, true).await;
        let mut peer = match waiting.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        peer.head().await;
        peer.send(format!("HTTP/1.1 {status} S\r\n{fields}\r\n")).await;
        let answer = soon("an answer", answer).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(answer.status(), status, "{case}");
        let length = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        match stated {
            Stated::Length(expected) => assert_eq!(length.as_deref(), Some(expected), "{case}"),
            Stated::NoLength | Stated::Nothing => assert_eq!(length, None, "{case}"),
        }
        assert!(!answer.headers().contains_key("transfer-encoding"), "{case}");
        assert_eq!(http2::whole(&mut answer.into_body()).await, (vec![], None), "{case}");
        waiting = Some(peer);
    }
}

/// The client's side works on. The upstream's connection must not carry another request: a body may follow.
#[tokio::test(flavor = "multi_thread")]
async fn framed_204_does_not_poison_the_connection() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for (method, status, fields) in DOUBTFUL {
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let (mut peer, _) = upstream.accept_request().await;
        let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
        peer.send(format!("HTTP/1.1 {status} S\r\n{fields}\r\n{poison}")).await;
        let head = client.status(status).await;
        assert!(!head.has("content-length") && !head.has("transfer-encoding"), "{}", head.text());
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let (mut next, _) = upstream.accept_request().await;
        next.send(HELLO).await;
        client.status(200).await;
        assert_eq!(client.exact(5).await, "hello", "{fields}");
        // The next round has a connection of its own.
        drop(next);
    }
}

/// An upstream that sends a body where none may be.
#[tokio::test(flavor = "multi_thread")]
async fn body_of_an_answer_without_one_reaches_nobody() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for (method, status) in [("HEAD", 200), ("GET", 304)] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        let (mut peer, _) = upstream.accept_request().await;
        peer.send(format!("HTTP/1.1 {status} S\r\nContent-Length: 6\r\n\r\npoison")).await;
        assert_eq!(client.status(status).await.value("content-length"), "6");
        client.send("GET /next HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let (mut next, _) = upstream.accept_request().await;
        next.send(HELLO).await;
        client.status(200).await;
        assert_eq!(client.exact(5).await, "hello");
        drop(next);
    }
}

/// Of HTTP/2 upstreams, whose stream ends with the header.
#[tokio::test(flavor = "multi_thread")]
async fn http1_client_gets_the_end_of_an_answer_that_is_a_header() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for (method, status, length) in [
        ("GET", 200, None),
        ("GET", 200, Some("0")),
        ("GET", 404, None),
        ("GET", 204, None),
        ("GET", 304, None),
        ("GET", 304, Some("5")),
        ("HEAD", 200, None),
        ("HEAD", 200, Some("5")),
        ("POST", 200, None),
    ] {
        let case = format!("{method} {status} {length:?}");
        let body = if method == "POST" { "Content-Length: 4\r\n\r\nbody" } else { "\r\n" };
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n{body}")).await;
        let mut stream = upstream.accept().await;
        let mut answer = http2::response(status);
        if let Some(length) = length {
            answer.headers_mut().insert("content-length", length.parse().unwrap());
        }
        stream.respond.send_response(answer, true).unwrap();
        let head = client.status(status).await;
        if method == "HEAD" || status == 304 {
            assert_eq!(head.values("content-length").first().map(String::as_str), length, "{case}");
        } else if head.has("transfer-encoding") {
            assert_eq!(client.chunked().await, (vec![], vec![]), "{case}");
        } else {
            let expected: &[&str] = if status == 204 { &[] } else { &["0"] };
            assert_eq!(head.values("content-length"), expected, "{case}");
        }
        assert_eq!(head.value("connection"), "keep-alive", "{case}");
    }
}
