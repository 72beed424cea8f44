//! Texts of a request that have more than one spelling reach an HTTP/1.1 upstream as they were sent.

use super::http2::{self, Client};
use super::raw::{Peer, Upstream, soon};
use super::to;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Browsers send a field for each cookie over HTTP/2 (RFC 9113, section 8.2.3).
#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_http2_reach_the_upstream_as_one_field() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let mut peer = None;
    for number in [1, 2, 120] {
        let mut request = http2::get("/");
        let crumbs: Vec<_> = (0..number).map(|at| format!("c{at}=\"v; {at}\"")).collect();
        for crumb in &crumbs {
            request.headers_mut().append("cookie", crumb.parse().unwrap());
        }
        let (answer, _) = client.send(request, true).await;
        let mut connection: Peer = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        assert_eq!(connection.head().await.values("cookie"), [crumbs.join("; ")]);
        connection.send(OK).await;
        assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
        peer = Some(connection);
    }
}

/// HTTP/1.1 has no such rule: its fields stay as they are.
#[tokio::test(flavor = "multi_thread")]
async fn fields_of_http1_keep_their_order_spelling_and_number() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    let fields = b"X-B: 2\r\nx-a:1\r\nX-b: \xe9\r\nCookie: a=1\r\nX-Empty:\r\nCOOKIE: b=2\r\nX-Tab: a\tb";
    client.send([b"GET / HTTP/1.1\r\nHost: h\r\n", &fields[..], b"\r\n\r\n"].concat()).await;
    let (mut peer, head) = upstream.accept_request().await;
    let received: Vec<_> = head.bytes().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    let sent: Vec<_> = fields.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    // Blanks around a value are none of it.
    let compact = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b':').unwrap();
        [&line[..=at], line[at + 1..].trim_ascii()].concat()
    };
    let sent: Vec<_> = sent.iter().map(|line| compact(line)).collect();
    let among: Vec<_> =
        received[1..].iter().map(|line| compact(line)).filter(|line| sent.contains(line)).collect();
    assert_eq!(among, sent, "{}", head.text());
    peer.send(OK).await;
    client.status(200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn query_of_http1_reaches_the_upstream_byte_for_byte() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Peer::connect(gateway.address()).await;
    let above: Vec<u8> = (0x80..=0xff).collect();
    let mut peer: Option<Peer> = None;
    for query in [
        &above[..],
        b"a=\"b\"&c=<d>&e={f}|g\\h^i`j",
        b"%",
        b"%zz&%2F%2f&a=/../b",
        b"a=?&b=??",
        b"",
        b"'();:@&=+$,/?[]!*~",
        "q=\u{e9}\u{20ac}\u{1f600}".as_bytes(),
    ] {
        client.send([b"GET /a?", query, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat()).await;
        let mut connection = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        let head = connection.head().await;
        let line = head.bytes().split(|byte| *byte == b'\r').next().unwrap();
        let expected = [b"GET /a?", query, b" HTTP/1.1"].concat();
        assert_eq!(line.escape_ascii().to_string(), expected.escape_ascii().to_string());
        connection.send(OK).await;
        client.status(200).await;
        peer = Some(connection);
    }
}

/// The type of a target that the HTTP/2 client uses takes fewer bytes than HTTP/1.1 does.
#[tokio::test(flavor = "multi_thread")]
async fn query_of_http2_reaches_the_upstream_byte_for_byte() {
    let upstream = Upstream::start().await;
    let gateway = to(upstream.address);
    let mut client = Client::connect(gateway.address()).await;
    let mut peer: Option<Peer> = None;
    for query in ["q=\u{e9}\u{20ac}\u{1f600}", "a={b}|c\\d^e`f", "%zz&%2F%2f&a=/../b", "a=?&b=??"] {
        let request = http::Request::get(format!("http://h/a?{query}")).body(()).unwrap();
        let (answer, _) = client.send(request, true).await;
        let mut connection = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        let head = connection.head().await;
        assert!(head.text().starts_with(&format!("GET /a?{query} HTTP/1.1\r\n")), "{}", head.text());
        connection.send(OK).await;
        assert_eq!(soon("an answer", answer).await.unwrap().status(), 200);
        peer = Some(connection);
    }
}
