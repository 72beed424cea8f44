//! Requests that come close behind each other, and in small pieces.

use testkit::http::Connection;
use testkit::origin::Origin;

use super::raw::{Peer, soon};
use crate::support::{Gateway, route, service};
use gateway::table::Change;
use model::Route;

const REQUESTS: usize = 60;
const KINDS: usize = 6;

/// Two upstreams under two paths, and nothing elsewhere.
fn two() -> (Gateway, [Origin; 2]) {
    let (gateway, origins) = (Gateway::start(), [Origin::start(), Origin::start()]);
    for (id, origin) in (1_u128..).zip(&origins) {
        let service = service(id, origin);
        let route = Route { service: Some(service.id), ..route(id, &format!("/{id}")) };
        gateway.apply(vec![Change::put(service), Change::put(route)]);
    }
    (gateway, origins)
}

/// The request of this number, of each kind in turn; and the body that its upstream should get.
fn request(number: usize) -> (String, Option<String>) {
    let body = "x".repeat(number * 7);
    let (length, upstream) = (body.len(), number % 2 + 1);
    match number % KINDS {
        0 => (format!("GET /{upstream}/{number} HTTP/1.1\r\nHost: h\r\n\r\n"), Some(String::new())),
        1 => {
            let head =
                format!("POST /{upstream}/{number} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
            (head + &body, Some(body))
        }
        2 => {
            let head = format!(
                "POST /{upstream}/{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            (format!("{head}3\r\nabc\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"), Some(format!("abc{body}")))
        }
        3 => (format!("GET /elsewhere/{number} HTTP/1.1\r\nHost: h\r\n\r\n"), None),
        4 => (format!("HEAD /{upstream}/{number} HTTP/1.1\r\nHost: h\r\n\r\n"), Some(String::new())),
        _ => {
            let head =
                format!("POST /elsewhere/{number} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
            (head + &body, None)
        }
    }
}

async fn read_answers(client: &mut Connection) {
    for number in 0..REQUESTS {
        let answer = soon("an answer", client.read_response(number % KINDS == 4)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{number}: {error:#}"));
        let Some(body) = request(number).1 else {
            answer.expect(404);
            continue;
        };
        let answer = answer.expect(200);
        if number % KINDS == 4 {
            continue;
        }
        let echo = answer.json();
        assert_eq!((&echo["target"], &echo["body"]), (&format!("/{number}").into(), &body.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_write_are_answered_in_order() {
    let (gateway, origins) = two();
    let all: String = (0..REQUESTS).map(|number| request(number).0).collect();
    let mut client = Connection::open(gateway.address()).await.unwrap();
    client.write(all.as_bytes()).await.unwrap();
    read_answers(&mut client).await;
    assert_eq!(origins.iter().map(Origin::count).sum::<usize>(), REQUESTS * 4 / KINDS);
    gateway.wait_metric("gibbon_connections_total{result=\"accepted\"}", 1.0).await;
    gateway.wait_metric("gibbon_http_requests_total{code=\"404\",source=\"gateway\"}", 20.0).await;
}

/// Pieces end anywhere: within a header, a chunk, or the line of its size.
#[tokio::test(flavor = "multi_thread")]
async fn requests_in_odd_pieces_are_answered_in_order() {
    let (gateway, _origins) = two();
    let all: String = (0..REQUESTS).map(|number| request(number).0).collect();
    let mut client = Connection::open(gateway.address()).await.unwrap();
    for piece in all.as_bytes().chunks(97) {
        client.write(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    read_answers(&mut client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_in_pieces_of_one_byte_is_read() {
    let (gateway, origins) = two();
    let mut client = Connection::open(gateway.address()).await.unwrap();
    let text = "POST /1/a HTTP/1.1\r\nHost: h\r\nX-Field: value\r\nTransfer-Encoding: chunked\r\n\r\n\
                3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n";
    for _ in 0..2 {
        for byte in text.as_bytes() {
            client.write(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let echo = soon("an answer", client.read_response(false)).await.unwrap().expect(200).json();
        assert_eq!((&echo["target"], &echo["body"]), (&"/a".into(), &"abcde".into()));
    }
    assert_eq!(origins[0].last().header("x-field"), Some("value"));
}

/// The header of the second request comes in halves, the first of them with the first request.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_header_behind_a_request_waits_for_its_other_half() {
    let (gateway, origins) = two();
    let second = "POST /2/second HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    for cut in [1, 4, 20, 24, 50, second.len() - 6, second.len() - 2] {
        let mut client = Peer::connect(gateway.address()).await;
        let (half, other_half) = second.split_at(cut);
        client.send(format!("GET /1/first HTTP/1.1\r\nHost: h\r\n\r\n{half}")).await;
        let length = client.status(200).await.value("content-length").parse().unwrap();
        client.exact(length).await;
        client.send(other_half).await;
        client.status(200).await;
        let received = origins[1].last();
        assert_eq!((&*received.target, &*received.body), ("/second", &b"body"[..]), "{cut}");
    }
}

/// A request behind one whose connection ends is not answered.
#[tokio::test(flavor = "multi_thread")]
async fn request_behind_the_last_one_reaches_nobody() {
    let (gateway, origins) = two();
    let mut client = Peer::connect(gateway.address()).await;
    let last = "GET /1/last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    client.send(format!("{last}GET /2/more HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    let head = client.status(200).await;
    assert_eq!(head.value("connection"), "close");
    client.exact(head.value("content-length").parse().unwrap()).await;
    assert_eq!(client.closed().await, "");
    assert_eq!((origins[0].count(), origins[1].count()), (1, 0));
}
