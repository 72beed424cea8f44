//! The framing of requests towards the upstream: one, and the one that the client meant.

use super::http2::{self, Client};
use super::raw::{Peer, Upstream, soon};
use super::{idle, to, to_http2};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What frames the request at the upstream.
#[derive(Clone, Copy, Debug)]
enum Framed {
    Nothing,
    Length(&'static str),
    Chunked,
}

use Framed::{Chunked, Length, Nothing};

/// Requests of HTTP/1.1 without their host, and their framing and body at the upstream.
const REQUESTS: [(&str, &str, &str, Framed, &str); 12] = [
    ("GET", "", "", Nothing, ""),
    ("HEAD", "", "", Nothing, ""),
    ("DELETE", "", "", Nothing, ""),
    ("OPTIONS", "", "", Nothing, ""),
    ("POST", "Content-Length: 0\r\n", "", Length("0"), ""),
    ("POST", "", "", Length("0"), ""),
    ("PUT", "", "", Length("0"), ""),
    ("POST", "Content-Length: 4\r\n", "body", Length("4"), "body"),
    ("GET", "Content-Length: 4\r\n", "body", Length("4"), "body"),
    ("DELETE", "Content-Length: 4\r\n", "body", Length("4"), "body"),
    ("POST", "Transfer-Encoding: chunked\r\n", "4;x=y\r\nbody\r\n0\r\n\r\n", Chunked, "body"),
    ("GET", "Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n", Chunked, ""),
];

/// Reads the request that has come, and checks how it is framed.
async fn assert_framed(peer: &mut Peer, method: &str, framed: Framed, body: &str, case: &str) {
    let head = peer.head().await;
    assert!(head.text().starts_with(&format!("{method} / HTTP/1.1\r\n")), "{case}: {}", head.text());
    let (length, coding) = (head.values("content-length"), head.values("transfer-encoding"));
    match framed {
        Nothing => assert!(length.is_empty() && coding.is_empty(), "{case}: {}", head.text()),
        Length(expected) => {
            assert_eq!((length, coding.len()), (vec![expected.to_owned()], 0), "{case}: {}", head.text());
            assert_eq!(peer.exact(body.len()).await, body, "{case}");
        }
        Chunked => {
            assert_eq!((length.len(), coding), (0, vec!["chunked".to_owned()]), "{case}: {}", head.text());
            assert_eq!(peer.chunked().await, (body.into(), vec![]), "{case}");
        }
    }
}

/// All on one connection at both sides: a byte too many or too few would break the next request.
#[tokio::test(flavor = "multi_thread")]
async fn http1_request_is_framed_as_it_came() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    let mut peer: Option<Peer> = None;
    for (method, fields, sent, framed, body) in REQUESTS {
        let case = format!("{method} {fields:?}");
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{sent}")).await;
        let mut connection = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        assert_framed(&mut connection, method, framed, body, &case).await;
        connection.send(if method == "HEAD" { &OK[..OK.len() - 2] } else { OK }).await;
        client.status(200).await;
        client.exact(if method == "HEAD" { 0 } else { 2 }).await;
        peer = Some(connection);
    }
}

/// The method, the stated length, the data, and the framing at the upstream.
const STREAMS: [(&str, Option<u64>, Option<&str>, Framed); 8] = [
    ("GET", None, None, Nothing),
    ("POST", None, None, Length("0")),
    ("POST", Some(0), None, Length("0")),
    ("POST", Some(4), Some("body"), Length("4")),
    ("GET", Some(4), Some("body"), Length("4")),
    ("POST", None, Some("body"), Chunked),
    ("GET", None, Some("body"), Chunked),
    ("POST", None, Some(""), Chunked),
];

#[tokio::test(flavor = "multi_thread")]
async fn http2_request_is_framed_for_http1() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let mut peer: Option<Peer> = None;
    for (method, length, data, framed) in STREAMS {
        let case = format!("{method} {length:?} {data:?}");
        let mut request = http::Request::builder().method(method).uri("http://h/").body(()).unwrap();
        if let Some(length) = length {
            request.headers_mut().insert("content-length", length.into());
        }
        let (answer, mut body) = client.send(request, data.is_none()).await;
        let mut connection = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        if let Some(data) = data {
            body.send_data(data.into(), true).unwrap();
        }
        assert_framed(&mut connection, method, framed, data.unwrap_or_default(), &case).await;
        connection.send(OK).await;
        let answer = soon("an answer", answer).await.unwrap();
        assert_eq!(http2::whole(&mut answer.into_body()).await.0, b"ok", "{case}");
        peer = Some(connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_request_is_framed_for_http2() {
    let mut upstream = http2::Upstream::start().await;
    let gateway = to_http2(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    for (method, fields, sent, framed, body) in REQUESTS {
        let case = format!("{method} {fields:?}");
        client.send(format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{sent}")).await;
        let mut stream = upstream.accept().await;
        assert_eq!(stream.request.method(), method, "{case}");
        let length = stream.request.headers().get("content-length").map(|length| length.to_str().unwrap());
        match framed {
            Length(expected) if expected != "0" => assert_eq!(length, Some(expected), "{case}"),
            Length(_) => assert!(matches!(length, None | Some("0")), "{case}"),
            Nothing | Chunked => assert_eq!(length, None, "{case}"),
        }
        for name in ["transfer-encoding", "connection", "host", "keep-alive"] {
            assert!(!stream.request.headers().contains_key(name), "{case}: {name}");
        }
        assert_eq!(http2::whole(stream.request.body_mut()).await, (body.into(), None), "{case}");
        let mut head = http2::response(200);
        head.headers_mut().insert("content-length", 2.into());
        if method == "HEAD" {
            stream.respond.send_response(head, true).unwrap();
        } else {
            stream.respond.send_response(head, false).unwrap().send_data("ok".into(), true).unwrap();
        }
        client.status(200).await;
        client.exact(if method == "HEAD" { 0 } else { 2 }).await;
    }
    assert_eq!(upstream.connections(), 1);
}

/// A request that ends early, or is longer than it says, never looks whole to the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn http2_request_of_another_length_does_not_look_whole() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for data in ["bod", "body and more"] {
        let mut client = Client::connect(gateway.address()).await;
        let mut request = http2::post("/");
        request.headers_mut().insert("content-length", 4.into());
        let (answer, mut body) = client.send(request, false).await;
        let (mut peer, head) = upstream.accept_request().await;
        assert_eq!(head.value("content-length"), "4");
        body.send_data(data.into(), true).unwrap();
        let received = peer.closed().await;
        assert!(received.len() < 4 && data.as_bytes().starts_with(&received), "{data}: {received:?}");
        // Reset, or refused.
        if let Ok(answer) = soon("an answer or a reset", answer).await {
            assert!(answer.status().is_client_error(), "{data}: {}", answer.status());
        }
        idle(&gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_chunks_of_a_request_do_not_look_whole() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    for chunks in ["g\r\nok\r\n0\r\n\r\n", "2\r\nokay\r\n0\r\n\r\n", "-1\r\n\r\n", "fffffffffffffffff\r\nok"]
    {
        let mut client = Peer::connect(gateway.address()).await;
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await;
        let (mut peer, _) = upstream.accept_request().await;
        assert_eq!(peer.chunk().await, "part");
        client.send(chunks).await;
        let received = peer.closed().await;
        assert!(!received.ends_with(b"0\r\n\r\n"), "{chunks:?}: {}", received.escape_ascii());
        client.status(400).await;
        client.closed().await;
        idle(&gateway).await;
    }
}

/// The client closes; the connection to the upstream is kept for others.
#[tokio::test(flavor = "multi_thread")]
async fn close_of_the_client_is_not_the_upstreams() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut peer: Option<Peer> = None;
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    ] {
        let mut client = Peer::connect(gateway.address()).await;
        client.send(request).await;
        let mut connection = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        let head = connection.head().await;
        assert!(head.text().starts_with("GET / HTTP/1.1\r\n") && !head.has("connection"), "{}", head.text());
        connection.send(OK).await;
        assert_eq!(client.status(200).await.value("connection"), "close");
        assert_eq!(client.closed().await, "ok");
        peer = Some(connection);
    }
}
