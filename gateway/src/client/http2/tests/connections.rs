//! Whole connections: their begin, their limits and their end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use h2::Reason;
use http::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::super::{Http2, Settings};
use super::stage::{CLIENT, SERVER, SETTINGS, Stage, flush, get, gone, read, reply, reset};
use crate::client::Request;

const WINDOW: u32 = 65_535;

async fn text(_: Request, mut client: Http2) {
    reply(&mut client, b"text", None).await;
}

#[tokio::test]
async fn bytes_that_were_read_before_come_first() {
    for known in [1, 3, 24] {
        let mut stage = Stage::new(SETTINGS);
        let sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        stage.prefix = sent[..known].to_vec().into();
        let mut client = stage.open(1 << 16, text);
        client.write_all(&sent[known..]).await.unwrap();
        let mut kind = [0; 4];
        client.read_exact(&mut kind).await.unwrap();
        assert_eq!(kind[3], 4, "settings come first");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_an_end() {
    let mut stage = Stage::new(SETTINGS);
    let mut client = stage.open(1 << 16, text);
    client.write_all(b"PRI * HTTP/2").await.unwrap();
    let begun = Instant::now();
    assert_eq!(stage.tasks.join_next().await.unwrap().unwrap(), SERVER);
    assert_eq!((begun.elapsed().as_secs(), stage.metrics.connections.header_timeout.get()), (20, 1));
}

/// The refusal of the proxy's own kind, and the connection goes on.
#[tokio::test]
async fn refused_requests_are_answered_and_counted() {
    let mut stage = Stage::new(SETTINGS);
    let mut client = stage.connect(WINDOW, text).await;
    let long = format!("http://h/{}", "a".repeat(8000));
    let large = http::Request::get("http://h/").header("a", "b".repeat(16_000));
    let refused = [
        (large, 431, "header_too_large", "Request header or cookie too large"),
        (http::Request::get("http://h/").header("host", "other"), 400, "bad_request", "Bad request"),
        (http::Request::get(long), 414, "uri_too_long", "URI too long"),
    ];
    for (request, status, reason, message) in refused {
        let answer = client.send_request(request.body(()).unwrap(), true).unwrap().0.await.unwrap();
        let headers = answer.headers().clone();
        assert_eq!((answer.status().as_u16(), stage.errors(reason)), (status, 1));
        let body = String::from_utf8(read(answer.into_body()).await.unwrap()).unwrap();
        let id = headers["x-kong-request-id"].to_str().unwrap();
        assert_eq!(body, format!("{message}\nrequest_id: {id}\n"));
        assert_eq!(headers["content-length"], body.len().to_string());
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(headers["x-kong-response-latency"], "0");
        assert!(headers["server"].to_str().unwrap().starts_with("gibbon/"));
    }
    let head = http::Request::head("http://h/").header("host", "other").body(()).unwrap();
    let answer = client.send_request(head, true).unwrap().0.await.unwrap();
    assert!(answer.body().is_end_stream());
    let grpc =
        http::Request::post("http://h/").header("host", "other").header("content-type", "application/grpc");
    let answer = client.send_request(grpc.body(()).unwrap(), true).unwrap().0.await.unwrap();
    assert_eq!(
        (&answer.headers()["grpc-status"], answer.body().is_end_stream()),
        (&"3".parse().unwrap(), true)
    );
    assert_eq!(client.send_request(get(), true).unwrap().0.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn many_malformed_requests_end_a_connection() {
    let mut stage = Stage::new(SETTINGS);
    let mut client = stage.connect(WINDOW, text).await;
    let wrong = || http::Request::get("http://h/").header("host", "other").body(()).unwrap();
    let mut answered = 0;
    while let Ok((answer, _)) = client.send_request(wrong(), true) {
        match answer.await {
            Ok(answer) => assert_eq!(answer.status(), StatusCode::BAD_REQUEST),
            Err(_) => break,
        }
        answered += 1;
        assert!(answered <= 32);
    }
    assert!(answered >= 31, "{answered}");
    stage.tasks.join_next().await.unwrap().unwrap();
    stage.tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_streams_leave_nothing_behind() {
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut stage = Stage::new(SETTINGS);
    let counters = (begun.clone(), ended.clone());
    let serve = move |request, client| {
        let (begun, ended) = counters.clone();
        async move {
            begun.fetch_add(1, Ordering::Relaxed);
            text(request, client).await;
            ended.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut client = stage.connect(WINDOW, serve).await;
    for _ in 0..1000 {
        let answer = client.send_request(get(), true).unwrap().0.await.unwrap();
        assert_eq!(read(answer.into_body()).await.unwrap(), b"text");
    }
    assert_eq!((begun.load(Ordering::Relaxed), ended.load(Ordering::Relaxed)), (1000, 1000));
    // An open stream or task would keep the connection.
    let quiet = Instant::now();
    stage.tasks.join_next().await.unwrap().unwrap();
    stage.tasks.join_next().await.unwrap().unwrap();
    assert_eq!(quiet.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends() {
    for (idle_timeout, seconds) in [(60, 60), (0, 20)] {
        let idle_timeout = Duration::from_secs(idle_timeout);
        let mut stage = Stage::new(Settings { idle_timeout, ..SETTINGS });
        let (begun, mut client) = (Instant::now(), stage.connect(WINDOW, text).await);
        stage.tasks.join_next().await.unwrap().unwrap();
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert!(client.send_request(get(), true).is_err());
    }
}

/// The clock of an idle connection begins with the end of its last request.
#[tokio::test(start_paused = true)]
async fn a_connection_with_a_request_is_not_idle() {
    let mut stage = Stage::new(SETTINGS);
    let serve = |request, client| async move {
        sleep(Duration::from_secs(3600)).await;
        text(request, client).await;
    };
    let mut client = stage.connect(WINDOW, serve).await;
    let begun = Instant::now();
    for _ in 0..3 {
        sleep(Duration::from_secs(50)).await;
        let answer = client.send_request(get(), true).unwrap().0.await.unwrap();
        assert_eq!(read(answer.into_body()).await.unwrap(), b"text");
    }
    stage.tasks.join_next().await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 3 * 3650 + 60);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_open_streams() {
    let release = Arc::new(Notify::new());
    let mut stage = Stage::new(SETTINGS);
    let released = release.clone();
    let serve = move |request, client| {
        let released = released.clone();
        async move {
            released.notified().await;
            text(request, client).await;
        }
    };
    let mut client = stage.connect(WINDOW, serve).await;
    let (answer, _) = client.send_request(get(), true).unwrap();
    sleep(Duration::from_millis(1)).await;
    stage.draining.cancel();
    sleep(Duration::from_secs(100)).await;
    let late = client.send_request(get(), true).map(|(answer, _)| answer);
    assert!(late.is_err(), "the client knows that the connection ends");
    release.notify_one();
    assert_eq!(read(answer.await.unwrap().into_body()).await.unwrap(), b"text");
    let begun = Instant::now();
    stage.tasks.join_next().await.unwrap().unwrap();
    stage.tasks.join_next().await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
}

/// A client that confirms nothing cannot keep its connection open.
#[tokio::test(start_paused = true)]
async fn a_drained_connection_without_requests_ends_soon() {
    let mut stage = Stage::new(SETTINGS);
    let mut client = stage.open(1 << 16, text);
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    sleep(Duration::from_millis(1)).await;
    stage.draining.cancel();
    let begun = Instant::now();
    stage.tasks.join_next().await.unwrap().unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(2));
}

/// The client has opened its windows, and does not read.
#[tokio::test(start_paused = true)]
async fn a_connection_whose_client_reads_nothing_ends() {
    let mut stage = Stage::new(SETTINGS);
    let (reader, mut writer) = tokio::io::split(stage.open(256, flood));
    writer.write_all(&request()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(stage.tasks.join_next().await.unwrap().unwrap(), SERVER);
    assert_eq!(begun.elapsed().as_secs(), 10);
    drop(reader);
}

/// The stream's task has ended, and the rest of the answer is in the connection's buffers.
#[tokio::test(start_paused = true)]
async fn an_answer_may_be_read_slowly_after_its_end() {
    let (mut stage, done) = (Stage::new(SETTINGS), Arc::new(Notify::new()));
    let mut client = stage.open(256, long_answer(done.clone()));
    client.write_all(&request()).await.unwrap();
    done.notified().await;
    let (mut read, mut part) = (0, [0; 500]);
    while read < LONG {
        let bytes = client.read(&mut part).await.unwrap();
        assert_ne!(bytes, 0, "{read}");
        read += bytes;
        sleep(Duration::from_secs(5)).await;
    }
}

/// The client has opened its windows, and closes them when the answer is in the connection's buffers.
#[tokio::test(start_paused = true)]
async fn an_answer_behind_a_closed_window_is_not_kept() {
    let (mut stage, done) = (Stage::new(SETTINGS), Arc::new(Notify::new()));
    let mut client = stage.open(256, long_answer(done.clone()));
    client.write_all(&request()).await.unwrap();
    done.notified().await;
    let begun = Instant::now();
    client.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]).await.unwrap();
    let mut all = Vec::new();
    let ended = timeout(Duration::from_secs(3600), client.read_to_end(&mut all)).await;
    assert!(ended.is_ok() && all.len() < LONG, "{}", all.len());
    assert!((10..=21).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// Bytes of an answer in several frames, within the first window.
const LONG: usize = 60_000;

fn long_answer(done: Arc<Notify>) -> impl FnMut(Request, Http2) -> BoxFuture<'static, ()> + Send + 'static {
    move |_, mut client| {
        let done = done.clone();
        Box::pin(async move {
            reply(&mut client, &[b'x'; LONG], None).await;
            drop(client);
            done.notify_one();
        })
    }
}

/// The first bytes of a client, and a request.
fn request() -> Vec<u8> {
    let header = [0x82, 0x86, 0x84, 0x01, 1, b'h'];
    let frame = |kind, flags, stream, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(1, 5, 1, &header)].concat()
}

async fn flood(_: Request, mut client: Http2) {
    client.send_head(Response::new(()), false);
    while flush(&mut client).await.is_ok() {
        client.queue(vec![0; 1000].into());
    }
}

/// Streams that are reset after they were taken have tasks that take a moment to end.
#[tokio::test]
async fn streams_beyond_the_most_tasks_are_refused() {
    let mut stage = Stage::new(Settings { max_streams: 2, ..SETTINGS });
    let serve = |_, mut client| async move {
        gone(&mut client).await;
        std::future::pending().await
    };
    let mut client = stage.connect(WINDOW, serve).await;
    for round in 0..6 {
        client = client.ready().await.unwrap();
        let (answer, mut sent) = client.send_request(get(), true).unwrap();
        if round >= 4 {
            assert_eq!(reset(answer.await), Some(Reason::REFUSED_STREAM));
            continue;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        sent.send_reset(Reason::CANCEL);
    }
    drop(client);
    assert_eq!(stage.tasks.join_next().await.unwrap().unwrap(), CLIENT);
}
