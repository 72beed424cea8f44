//! The header of an answer on its way to clients of both versions.

use super::http2::{self, Client};
use super::raw::{Peer, Upstream, soon};
use super::to;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const HEAD: &[u8] = b"HTTP/1.1 299 Any Reason\r\nX-B: 2\r\nx-a:1\r\nSet-Cookie: a=1\r\nX-Text: \xe9\x80\r\n\
    Set-Cookie: b=2\r\nX-Empty:\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: ours\r\n\
    Connection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: a\r\n\
    Upgrade: h2c\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n";
const BODY: &[u8] = b"4;ext=\"a b\"\r\nbody\r\n00a\r\n0123456789\r\n0;last\r\nX-T: 1\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn http1_client_gets_the_fields_as_they_were_written() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(GET).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send([HEAD, BODY].concat()).await;
    let head = client.status(299).await;
    assert!(head.text().starts_with("HTTP/1.1 299 Any Reason\r\n"), "{}", head.text());
    assert_eq!(head.values("set-cookie"), ["a=1", "b=2"]);
    for line in ["\r\nX-B: 2\r\n", "\r\nx-a: 1\r\n", "\r\nX-Empty:"] {
        assert!(head.text().contains(line), "{line:?}: {}", head.text());
    }
    assert!(head.bytes().windows(2).any(|bytes| bytes == b"\xe9\x80"), "{}", head.text());
    assert_eq!(head.values("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(head.values("server"), ["ours"]);
    assert_eq!(head.values("transfer-encoding"), ["chunked"]);
    assert_eq!(head.values("connection"), ["keep-alive"]);
    for name in ["keep-alive", "x-hop", "proxy-connection", "upgrade", "content-length"] {
        assert!(!head.has(name), "{name}: {}", head.text());
    }
    assert_eq!(client.chunked().await, (b"body0123456789".to_vec(), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_client_gets_the_fields_without_those_of_one_connection() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let (answer, _) = client.send(http2::get("/"), true).await;
    let (mut peer, _) = upstream.accept_request().await;
    peer.send([HEAD, BODY].concat()).await;
    let answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 299);
    let headers = answer.headers();
    assert_eq!(headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(headers["x-text"].as_bytes(), b"\xe9\x80");
    assert_eq!(headers["x-empty"], "");
    assert_eq!(headers.get_all("date").iter().count(), 1);
    for name in ["connection", "keep-alive", "x-hop", "proxy-connection", "upgrade", "transfer-encoding"] {
        assert!(!headers.contains_key(name), "{name}: {headers:?}");
    }
    let (body, trailers) = http2::whole(&mut answer.into_body()).await;
    assert_eq!((&body[..], &trailers.unwrap()["x-t"]), (&b"body0123456789"[..], &"1".parse().unwrap()));
}

/// Pieces end anywhere: within a name, the size of a chunk, or a trailer.
#[tokio::test(flavor = "multi_thread")]
async fn answer_in_small_pieces_is_read() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    let mut peer: Option<Peer> = None;
    for size in [1, 2, 3, 7, 64] {
        client.send(GET).await;
        let mut connection = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        connection.head().await;
        for piece in [HEAD, BODY].concat().chunks(size) {
            connection.send(piece).await;
            tokio::task::yield_now().await;
        }
        client.status(299).await;
        assert_eq!(client.chunked().await.0, b"body0123456789", "{size}");
        peer = Some(connection);
    }
}

/// A header of many reads, whose end comes with the body.
#[tokio::test(flavor = "multi_thread")]
async fn large_header_of_an_answer_passes() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    client.send(GET).await;
    let (mut peer, _) = upstream.accept_request().await;
    let value = "v".repeat(60_000);
    peer.send(format!("HTTP/1.1 200 OK\r\nX-Large: {value}\r\nContent-Length: 2\r\n\r\nok")).await;
    assert_eq!(client.status(200).await.value("x-large"), value);
    assert_eq!(client.exact(2).await, "ok");
}

/// Interim answers have no end of their own: an upstream that sends nothing else must not go on for ever.
#[tokio::test(flavor = "multi_thread")]
async fn flood_of_interim_answers_is_502() {
    use tokio::io::AsyncWriteExt;
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let (mut reader, mut writer) = Peer::connect(gateway.address()).await.split();
    writer.write_all(GET.as_bytes()).await.unwrap();
    let (mut peer, _) = upstream.accept_request().await;
    let flood = async {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100);
        while peer.stream().write_all(hints.as_bytes()).await.is_ok() {}
    };
    let answer = async {
        loop {
            let head = reader.head().await;
            if head.status() != 103 {
                return head.status();
            }
        }
    };
    let ((), status) = soon("an end", async { tokio::join!(flood, answer) }).await;
    assert_eq!(status, 502);
}
