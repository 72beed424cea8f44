//! Exchanges over a stream in memory, so that the clock can be paused.

use std::future::poll_fn;
use std::time::Duration;

use h2::server::Builder;
use http::Request;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::upstream::exchange::Upstream;
use crate::upstream::io::Io;
use crate::upstream::testing::{LIMITS, Server, TIMEOUTS, body, flush, ok, part, response};

/// A connection, with its task.
struct Client {
    connection: Connection,
    _driver: JoinSet<()>,
}

impl Client {
    async fn start(near: DuplexStream) -> Self {
        let (connection, driver) = handshake(Io::Memory(near), &LIMITS).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(driver);
        Self { connection, _driver: tasks }
    }

    fn begin(&self, method: Method, end: bool) -> Upstream {
        let slot = self.connection.take_slot().unwrap();
        let mut http2 = Http2::new(slot, LIMITS, TIMEOUTS, false);
        http2.begin(request(method), end);
        Upstream::Http2(http2)
    }
}

async fn start(builder: Builder) -> (Client, Server) {
    let (near, far) = duplex(1024 * 1024);
    let server = Server::start(far, builder);
    (Client::start(near).await, server)
}

fn request(method: Method) -> Request<()> {
    Request::builder().method(method).uri("http://a.test/").body(()).unwrap()
}

#[tokio::test]
async fn bodies_and_trailers_pass_in_both_directions() {
    let mut builder = Builder::new();
    builder.initial_window_size(1000);
    let (client, mut server) = start(builder).await;
    let mut upstream = client.begin(Method::POST, false);
    let sending = async {
        for size in [1, 5000, 0, 70_000] {
            upstream.queue(Bytes::from(vec![b'a'; size]));
        }
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "up".parse().unwrap())]);
        upstream.queue_end(Some(trailers));
        flush(&mut upstream).await.unwrap();
        assert!(!upstream.wants_body());
    };
    let receiving = async {
        let (mut request, mut answer) = server.accept().await;
        let mut received = 0;
        while let Some(part) = request.body_mut().data().await {
            let part = part.unwrap();
            received += part.len();
            request.body_mut().flow_control().release_capacity(part.len()).unwrap();
        }
        assert_eq!(received, 75_001);
        assert_eq!(request.body_mut().trailers().await.unwrap().unwrap()["etag"], "up");
        let mut hints = ok();
        *hints.status_mut() = StatusCode::EARLY_HINTS;
        answer.send_informational(hints).unwrap();
        let mut stream = answer.send_response(ok(), false).unwrap();
        stream.send_data(Bytes::from(vec![b'b'; 300_000]), false).unwrap();
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "down".parse().unwrap())]);
        stream.send_trailers(trailers).unwrap();
    };
    tokio::join!(sending, receiving);
    let interim = response(&mut upstream).await.unwrap();
    assert!(interim.is_interim() && interim.framing == Framing::Empty);
    let answer = response(&mut upstream).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.framing, answer.length), (200, Framing::Close, None));
    assert_eq!(body(&mut upstream).await.unwrap().len(), 300_000);
    assert_eq!(upstream.take_trailers().unwrap()["etag"], "down");
}

#[tokio::test]
async fn framing_of_an_answer_is_what_it_says() {
    for (method, length, sent, framing, is_valid) in [
        (Method::GET, None, "", Framing::Empty, true),
        (Method::GET, None, "hello", Framing::Close, true),
        (Method::GET, Some("5"), "hello", Framing::Length(5), true),
        (Method::GET, Some("5"), "hell", Framing::Length(5), false),
        (Method::HEAD, Some("5"), "", Framing::Empty, true),
    ] {
        let (client, mut server) = start(Builder::new()).await;
        let mut upstream = client.begin(method.clone(), true);
        let (_, mut answer) = server.accept().await;
        let mut header = ok();
        header
            .headers_mut()
            .extend(length.map(|length| (http::header::CONTENT_LENGTH, length.parse().unwrap())));
        let mut stream = answer.send_response(header, sent.is_empty()).unwrap();
        if !sent.is_empty() {
            stream.send_data(Bytes::from_static(sent.as_bytes()), true).unwrap();
        }
        let answer = response(&mut upstream).await.unwrap();
        assert_eq!((answer.framing, answer.length), (framing, length.map(|length| length.parse().unwrap())));
        let body = body(&mut upstream).await;
        assert_eq!(body.is_ok(), is_valid, "{method} {length:?} {sent:?}: {body:?}");
    }
}

#[tokio::test]
async fn header_has_bounds() {
    for (bytes, failure) in [
        (3990, None),
        (4001, Some(UpstreamFailure::HeaderTooLarge)),
        // h2 does not tell the reason.
        (100_000, Some(UpstreamFailure::Invalid("".into()))),
    ] {
        let (client, mut server) = start(Builder::new()).await;
        let mut upstream = client.begin(Method::GET, true);
        let (_, mut answer) = server.accept().await;
        let mut header = ok();
        header.headers_mut().insert(http::header::ETAG, "a".repeat(bytes).parse().unwrap());
        answer.send_response(header, true).unwrap();
        let came = response(&mut upstream).await.err();
        let same = match (&came, &failure) {
            (Some(one), Some(other)) => std::mem::discriminant(one) == std::mem::discriminant(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        assert!(same, "{bytes}: {came:?}");
    }
}

#[tokio::test]
async fn refused_stream_was_not_processed() {
    for (reason, is_harmless) in
        [(Reason::REFUSED_STREAM, true), (Reason::INTERNAL_ERROR, false), (Reason::CANCEL, false)]
    {
        let (client, mut server) = start(Builder::new()).await;
        let mut upstream = client.begin(Method::POST, true);
        let (_, mut answer) = server.accept().await;
        answer.send_reset(reason);
        let failure = response(&mut upstream).await.unwrap_err();
        assert_eq!(failure.is_harmless(), is_harmless, "{failure}");
        assert!(!failure.is_silent_end(), "{failure}");
    }
}

#[tokio::test]
async fn stream_that_breaks_off_is_never_whole() {
    let (client, mut server) = start(Builder::new()).await;
    let mut upstream = client.begin(Method::GET, true);
    let (_, mut answer) = server.accept().await;
    let mut stream = answer.send_response(ok(), false).unwrap();
    stream.send_data(Bytes::from_static(b"hell"), false).unwrap();
    response(&mut upstream).await.unwrap();
    assert_eq!(part(&mut upstream).await, Ok(Some(Bytes::from_static(b"hell"))));
    stream.send_reset(Reason::NO_ERROR);
    assert!(matches!(part(&mut upstream).await, Err(UpstreamFailure::Broken(_))));
}

#[tokio::test]
async fn ended_connection_is_a_silent_end() {
    let (client, mut server) = start(Builder::new()).await;
    let mut upstream = client.begin(Method::GET, true);
    server.accept().await;
    drop(server);
    let failure = response(&mut upstream).await.unwrap_err();
    assert!(failure.is_silent_end(), "{failure}");
    assert!(client.connection.is_gone() && client.connection.take_slot().is_none());
}

/// The answer is complete, and the upstream wants no more of the request (RFC 9113, section 8.1).
#[tokio::test]
async fn early_answer_ends_the_upload() {
    let mut builder = Builder::new();
    builder.initial_window_size(1000);
    let (client, mut server) = start(builder).await;
    let mut upstream = client.begin(Method::POST, false);
    upstream.queue(Bytes::from(vec![0; 10_000]));
    assert!(timeout(Duration::from_millis(1), flush(&mut upstream)).await.is_err());
    let (_, mut answer) = server.accept().await;
    let mut stream = answer.send_response(ok(), false).unwrap();
    stream.send_data(Bytes::from_static(b"enough"), true).unwrap();
    let came = poll_fn(|context| upstream.poll_response(context)).await;
    assert_eq!(came.unwrap().status, 200);
    answer.send_reset(Reason::NO_ERROR);
    flush(&mut upstream).await.unwrap();
    assert!(!upstream.wants_body());
    assert_eq!(body(&mut upstream).await.unwrap(), b"enough");
}

#[tokio::test]
async fn goaway_lets_streams_end_and_no_more_begin() {
    let (client, mut server) = start(Builder::new()).await;
    let mut first = client.begin(Method::GET, true);
    let (_, mut answer) = server.accept().await;
    server.send_goaway();
    let mut slot = client.connection.take_slot().unwrap();
    while slot.is_usable() {
        tokio::task::yield_now().await;
    }
    assert!(client.connection.take_slot().is_none());
    // One that had its place already.
    let mut late = Http2::new(slot, LIMITS, TIMEOUTS, true);
    late.begin(request(Method::POST), true);
    assert!(response(&mut Upstream::Http2(late)).await.unwrap_err().is_harmless());
    answer.send_response(ok(), true).unwrap();
    assert_eq!(response(&mut first).await.unwrap().status, 200);
}

#[tokio::test]
async fn dropped_exchange_is_reset() {
    let (client, mut server) = start(Builder::new()).await;
    let upstream = client.begin(Method::POST, false);
    let (mut request, _answer) = server.accept().await;
    upstream.release();
    let ended = request.body_mut().data().await.unwrap().unwrap_err();
    assert_eq!(ended.reason(), Some(Reason::CANCEL));
    assert!(client.connection.is_unused(Instant::now(), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn silent_upstream_times_out() {
    let (client, mut server) = start(Builder::new()).await;
    let mut upstream = client.begin(Method::GET, true);
    let (_, mut answer) = server.accept().await;
    let begun = Instant::now();
    let failure = response(&mut upstream).await.unwrap_err();
    assert_eq!((failure, begun.elapsed().as_secs()), (UpstreamFailure::TimedOut(Direction::Read), 60));
    drop(answer.send_response(ok(), true));

    let mut builder = Builder::new();
    builder.initial_window_size(1000);
    let (client, _server) = start(builder).await;
    let mut upstream = client.begin(Method::POST, false);
    // As much waits in memory as the window allows.
    upstream.queue(Bytes::from(vec![0; 1_000_000]));
    let begun = Instant::now();
    let failure = flush(&mut upstream).await.unwrap_err();
    assert_eq!((failure, begun.elapsed().as_secs()), (UpstreamFailure::TimedOut(Direction::Write), 30));
}
