//! Targets with bytes that are no part of a URI: a path has one form, and a query is forwarded as received.

use model::Route;
use testkit::origin::Origin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Gateway, at, route, service};

/// The bytes of the request's target at an upstream that reads only the line.
async fn arrives(gateway: &Gateway, listener: &TcpListener, target: &[u8]) -> Vec<u8> {
    let upstream = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.unwrap();
        request.split(|byte| *byte == b' ').nth(1).unwrap().to_vec()
    };
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let (answer, arrived) = tokio::join!(gateway.client.raw(&request), upstream);
    answer.unwrap().expect(204);
    arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_goes_on_as_it_came() {
    let (gateway, listener) = (Gateway::start(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let strip_path = false;
    gateway.serve(at(1, listener.local_addr().unwrap()), Route { strip_path, ..route(1, "/") });
    for (sent, arrived) in [
        (&b"/a?b=%2e%2E/../c//"[..], &b"/a?b=%2e%2E/../c//"[..]),
        (b"/a?\xc3\xbc={|}^`[\\]'", b"/a?\xc3\xbc={|}^`[\\]'"),
        (b"/a?b=\xff\xfe&c=\xc0\xaf", b"/a?b=\xff\xfe&c=\xc0\xaf"),
        (b"/%61?\xff", b"/a?\xff"),
        (b"/\xfc?\xff", b"/%FC?\xff"),
        (b"http://h/a?\xff", b"/a?\xff"),
        (b"/a?\"<b>\"=\xc3\xbc", b"/a?\"<b>\"=\xc3\xbc"),
    ] {
        let came = arrives(&gateway, &listener, sent).await;
        assert_eq!(came.escape_ascii().to_string(), arrived.escape_ascii().to_string());
    }
}

/// Each of these is the route's path, which operators write encoded.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_has_one_form_however_it_is_spelt() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    for path in ["/%C3%BC/%7Cx", "~/%c3%bc/(?<x>%7c)x$", "~/\u{fc}/\\|x$", "~/[\u{e4}\u{fc}]/[|]x$"] {
        gateway.serve(service(1, &origin), Route { strip_path: false, ..route(1, path) });
        for target in [&b"/%C3%BC/%7Cx"[..], b"/\xc3\xbc/|x", b"/%c3%bc/%7cx", b"/\xc3%bc/%7C%78"] {
            let request = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"].concat();
            gateway.client.raw(&request).await.unwrap().expect(200);
            assert_eq!(origin.last().target, "/%C3%BC/%7Cx");
        }
    }
    gateway.get("/%C3%BCx").await.expect(404);
}

/// The redirect to HTTPS is a URI, whatever the request's target.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_names_a_uri() {
    let (gateway, origin) = (Gateway::start(), Origin::start());
    let protocols = vec![model::Protocol::Https];
    let redirect = Route { protocols, https_redirect_status_code: 301, ..route(1, "/") };
    gateway.serve(service(1, &origin), redirect);
    let answer = gateway.client.raw(b"GET /\xc3\xbc?<\xff> HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    assert_eq!(answer.expect(301).header("location"), Some("https://h/%C3%BC?%3C%FF%3E"));
}
