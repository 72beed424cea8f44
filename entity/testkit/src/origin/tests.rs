use std::time::Duration;

use super::*;
use crate::http::{Client, Connection, Request};

fn start() -> (Origin, Client) {
    let origin = Origin::start();
    let client = Client::new(origin.address());
    (origin, client)
}

#[tokio::test]
async fn it_echoes_and_remembers_over_one_connection() {
    let (origin, client) = start();
    let request = Request::new("POST", "/a//b?c=%2f").header("X-Two", "1").header("x-two", "2").body("hello");
    let echo = client.send(&request).await.unwrap().expect(200).json();
    assert_eq!(echo["target"], "/a//b?c=%2f");
    assert_eq!(echo["headers"]["x-two"], "1, 2");
    assert_eq!(echo["body"], "hello");

    let chunked = Request::new("POST", "/").header("Transfer-Encoding", "chunked");
    client.send(&chunked.body("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).await.unwrap().expect(200);
    assert_eq!(origin.last().body, b"abcde");
    assert_eq!((origin.count(), origin.connections()), (2, 1));
}

#[tokio::test]
async fn it_answers_as_scripted() {
    let (origin, client) = start();
    origin.answer_once(Answer::status(503).header("X-A", "b").body("sorry"));
    origin.answer_once(Answer::status(200).size(100_000).chunked().slow(30_000, Duration::from_millis(1)));
    origin.answer_once(Answer::status(200).size(1000).until_close());
    let response = client.get("/").await.unwrap().expect(503);
    assert_eq!((response.header("x-a"), response.text().as_str()), (Some("b"), "sorry"));
    assert_eq!(client.get("/").await.unwrap().body.len(), 100_000);
    assert_eq!(client.get("/").await.unwrap().body.len(), 1000);
    client.get("/").await.unwrap().expect(200);
}

#[tokio::test]
async fn it_fails_as_scripted() {
    let (mut origin, client) = start();
    let answers = [
        (Answer::close(), "ended before the response"),
        (Answer::reset(), "Connection reset"),
        (Answer::status(200).size(1000).truncated(300), "ended 300 bytes into 1000"),
        (Answer::status(200).size(1000).chunked().truncated(300), "ended inside a chunked body"),
        (Answer::status(200).size(1000).reset_after(300), "Connection reset"),
    ];
    for (answer, expected) in answers {
        origin.answer_once(answer.clone());
        let error = format!("{:#}", client.get("/").await.unwrap_err());
        assert!(error.contains(expected), "{answer:?}: {error}");
    }
    origin.stop();
    assert!(format!("{:#}", client.get("/").await.unwrap_err()).contains("refused"));
    origin.restart();
    client.get("/").await.unwrap().expect(200);
}

#[tokio::test]
async fn it_upgrades() {
    let (origin, _) = start();
    origin.answer(Answer::upgrade("echo"));
    let mut connection = Connection::open(origin.address()).await.unwrap();
    connection.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n").await.unwrap();
    connection.read_response(false).await.unwrap().expect(101);
    connection.write(b"ping").await.unwrap();
    assert_eq!(connection.read_exact(4).await.unwrap(), "ping");
}
