//! Exchanges over a stream in memory, so that the clock can be paused.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::upstream::exchange::Upstream;
use crate::upstream::protocol::Protocol;
use crate::upstream::terms::Terms;
use crate::upstream::testing::{LIMITS, TIMEOUTS, body, flush, part, response};

const GET: RequestKind = RequestKind { is_head: false, asks_upgrade: false };
const HEAD: RequestKind = RequestKind { is_head: true, asks_upgrade: false };
const UPGRADE: RequestKind = RequestKind { is_head: false, asks_upgrade: true };

/// Keeps connections, as the pool does.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<Box<Http1>>>);

impl Home for Kept {
    fn keep(&self, _: Key, connection: Box<Http1>) {
        *self.0.lock() = Some(connection);
    }
}

struct Exchanged {
    upstream: Upstream,
    far: DuplexStream,
    kept: Arc<Kept>,
}

/// Begins an exchange whose request has a body as `framing` says. The kernel would take `buffer` bytes.
fn begin(kind: RequestKind, framing: Framing, buffer: usize) -> Exchanged {
    let ((near, far), kept) = (duplex(buffer), Arc::new(Kept::default()));
    let key = Key { terms: Terms::plain(Protocol::Http1).id(), address: ([127, 0, 0, 1], 80).into() };
    let mut http1 = Http1::new(Io::Memory(near), LIMITS);
    http1.prepare(kept.clone(), key, TIMEOUTS, false);
    http1.head().extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    http1.begin(framing, kind);
    Exchanged { upstream: Upstream::Http1(http1), far, kept }
}

impl Exchanged {
    /// Lets the upstream send this, and end the connection.
    async fn answer(&mut self, text: &str) {
        self.far.write_all(text.as_bytes()).await.unwrap();
        self.far.shutdown().await.unwrap();
    }

    /// The final answer: status, body and trailers.
    async fn read(&mut self) -> Result<(u16, String, usize), UpstreamFailure> {
        let mut answer = response(&mut self.upstream).await?;
        while answer.is_interim() {
            answer = response(&mut self.upstream).await?;
        }
        let body = body(&mut self.upstream).await?;
        let trailers = self.upstream.take_trailers().map_or(0, |trailers| trailers.len());
        Ok((answer.status.as_u16(), String::from_utf8(body).unwrap(), trailers))
    }

    fn keeps(self) -> bool {
        self.upstream.release();
        self.kept.0.lock().is_some()
    }
}

#[tokio::test]
async fn answers_are_read_in_pieces_of_every_size() {
    for (text, kind, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", GET, (200, "hello", 0)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", GET, (200, "", 0)),
        ("HTTP/1.1 200 OK\r\n\r\nhello", GET, (200, "hello", 0)),
        ("HTTP/1.0 200 OK\n\nhello", GET, (200, "hello", 0)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HEAD, (200, "", 0)),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", GET, (304, "", 0)),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n",
            GET,
            (200, "hello", 1),
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", UPGRADE, (101, "", 0)),
    ] {
        for size in 1..=text.len() {
            let mut exchange = begin(kind, Framing::Empty, size);
            let far = std::mem::replace(&mut exchange.far, duplex(1).0);
            let (mut request, mut sender) = tokio::io::split(far);
            let text = text.to_owned();
            let mut tasks = JoinSet::new();
            tasks.spawn(async move {
                request.read_u8().await.unwrap();
                for piece in text.as_bytes().chunks(size) {
                    sender.write_all(piece).await.unwrap();
                }
                sender.shutdown().await.unwrap();
            });
            let (status, body, trailers) = exchange.read().await.unwrap();
            assert_eq!((status, &*body, trailers), expected, "{size}");
            tasks.join_all().await;
        }
    }
}

#[tokio::test]
async fn truncated_answer_is_never_whole() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let header = text.rfind("\r\n\r\n5\r\n").or(text.rfind("\r\n\r\nhello")).unwrap() + 4;
        for end in 0..text.len() {
            let mut exchange = begin(GET, Framing::Empty, 1024);
            exchange.answer(&text[..end]).await;
            match exchange.read().await.unwrap_err() {
                UpstreamFailure::Closed { nothing_came, .. } => {
                    assert!(end < header, "{end}");
                    assert_eq!(nothing_came, end == 0, "{end}");
                }
                UpstreamFailure::Broken(_) => assert!(end >= header, "{end}"),
                other => panic!("{end}: {other:?}"),
            }
            assert!(!exchange.keeps());
        }
    }
}

#[tokio::test]
async fn connection_is_kept_when_both_messages_are_complete() {
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for (text, keeps) in [
        (good, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", false),
    ] {
        let mut exchange = begin(GET, Framing::Empty, 1024);
        flush(&mut exchange.upstream).await.unwrap();
        exchange.far.write_all(text.as_bytes()).await.unwrap();
        exchange.read().await.unwrap();
        assert_eq!(exchange.keeps(), keeps, "{text:?}");
    }
    // The request was not written, or the answer was not read, to its end.
    let mut exchange = begin(GET, Framing::Length(5), 1024);
    exchange.upstream.queue(Bytes::from_static(b"hell"));
    flush(&mut exchange.upstream).await.unwrap();
    exchange.far.write_all(good.as_bytes()).await.unwrap();
    exchange.read().await.unwrap();
    assert!(!exchange.keeps());
    let mut exchange = begin(GET, Framing::Empty, 1024);
    exchange.far.write_all(good.as_bytes()).await.unwrap();
    response(&mut exchange.upstream).await.unwrap();
    assert!(!exchange.keeps());
    let mut exchange = begin(GET, Framing::Empty, 8);
    assert!(timeout(Duration::from_millis(1), flush(&mut exchange.upstream)).await.is_err());
    assert!(!exchange.keeps());
}

#[tokio::test]
async fn kept_connection_serves_again() {
    let mut exchange = begin(GET, Framing::Empty, 1024);
    for round in 0..3 {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{round}");
        flush(&mut exchange.upstream).await.unwrap();
        exchange.far.write_all(text.as_bytes()).await.unwrap();
        assert_eq!(exchange.read().await.unwrap().1, round.to_string());
        let Exchanged { upstream, far, kept } = exchange;
        upstream.release();
        let mut http1 = kept.0.lock().take().unwrap();
        assert!(!http1.is_stale());
        let key = Key { terms: Terms::plain(Protocol::Http1).id(), address: ([127, 0, 0, 1], 80).into() };
        http1.prepare(kept.clone(), key, TIMEOUTS, true);
        http1.head().extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        http1.begin(Framing::Empty, GET);
        exchange = Exchanged { upstream: Upstream::Http1(http1), far, kept };
    }
    assert!(exchange.upstream.was_reused());
}

#[tokio::test]
async fn interim_answers_have_a_bound() {
    for (count, is_answered) in [(MOST_INTERIM, true), (MOST_INTERIM + 1, false)] {
        let mut exchange = begin(GET, Framing::Empty, 100_000);
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(count as usize);
        exchange.answer(&(interim + "HTTP/1.1 204 No Content\r\n\r\n")).await;
        assert_eq!(exchange.read().await.is_ok(), is_answered);
    }
}

#[tokio::test]
async fn malformed_chunk_is_invalid() {
    let mut exchange = begin(GET, Framing::Empty, 1024);
    exchange.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n").await;
    assert!(matches!(exchange.read().await, Err(UpstreamFailure::Invalid(_))));
}

/// An upstream refuses a body by an answer, and ends the connection.
#[tokio::test]
async fn failed_write_does_not_lose_the_answer() {
    let mut exchange = begin(GET, Framing::Chunked, 256);
    let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
    exchange.far.write_all(refusal.as_bytes()).await.unwrap();
    let kept = exchange.kept.clone();
    drop(exchange.far);
    let mut upstream = exchange.upstream;
    for _ in 0..10 {
        upstream.queue(Bytes::from(vec![0; 10_000]));
        flush(&mut upstream).await.unwrap();
    }
    assert!(!upstream.wants_body());
    upstream.queue_end(None);
    flush(&mut upstream).await.unwrap();
    assert_eq!(response(&mut upstream).await.unwrap().status, 413);
    assert_eq!(body(&mut upstream).await, Ok(Vec::new()));
    upstream.release();
    assert!(kept.0.lock().is_none());
}

#[tokio::test]
async fn failed_write_without_an_answer_is_the_cause() {
    let Exchanged { mut upstream, far, .. } = begin(GET, Framing::Empty, 256);
    drop(far);
    let failure = response(&mut upstream).await.unwrap_err();
    assert!(failure.is_silent_end(), "{failure}");
    assert!(failure.to_string().contains("broken pipe"), "{failure}");
}

#[tokio::test]
async fn body_of_another_length_fails() {
    for sent in ["hell", "hello!"] {
        let mut exchange = begin(GET, Framing::Length(5), 1024);
        exchange.upstream.queue(sent.into());
        exchange.upstream.queue_end(None);
        assert_eq!(flush(&mut exchange.upstream).await, Err(UpstreamFailure::WrongLength), "{sent}");
        assert!(!exchange.keeps());
    }
}

#[tokio::test(start_paused = true)]
async fn silent_upstream_times_out() {
    let read = UpstreamFailure::TimedOut(Direction::Read);
    let mut exchange = begin(GET, Framing::Empty, 1024);
    let begun = Instant::now();
    assert_eq!(exchange.read().await, Err(read.clone()));
    assert_eq!(begun.elapsed().as_secs(), 60);
    // Within the header, then within the body.
    for sent in ["HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] {
        let mut exchange = begin(GET, Framing::Empty, 1024);
        assert!(timeout(Duration::from_secs(50), exchange.read()).await.is_err());
        exchange.far.write_all(sent.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let failure = match response(&mut exchange.upstream).await {
            Ok(_) => body(&mut exchange.upstream).await.unwrap_err(),
            Err(failure) => failure,
        };
        assert_eq!((failure, begun.elapsed().as_secs()), (read.clone(), 60), "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_upstream_is_in_time_for_days() {
    let mut exchange = begin(GET, Framing::Empty, 1024);
    exchange.far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    response(&mut exchange.upstream).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_hours(72) {
        let reading = tokio::join!(part(&mut exchange.upstream), async {
            sleep(Duration::from_secs(59)).await;
            exchange.far.write_all(b"x").await.unwrap();
        });
        assert_eq!(reading.0, Ok(Some(Bytes::from_static(b"x"))));
    }
}

/// An upload is progress, too; the upstream answers behind it.
#[tokio::test(start_paused = true)]
async fn upload_postpones_the_deadline_of_the_answer() {
    let mut exchange = begin(GET, Framing::Chunked, 1024 * 1024);
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(timeout(Duration::from_secs(50), response(&mut exchange.upstream)).await.is_err());
        exchange.upstream.queue(Bytes::from_static(b"x"));
        flush(&mut exchange.upstream).await.unwrap();
    }
    let failure = response(&mut exchange.upstream).await.unwrap_err();
    assert_eq!(failure, UpstreamFailure::TimedOut(Direction::Read));
    assert_eq!(begun.elapsed().as_secs(), 5060);
}

#[tokio::test(start_paused = true)]
async fn upstream_that_takes_nothing_times_out() {
    let mut exchange = begin(GET, Framing::Length(1000), 100);
    exchange.upstream.queue(Bytes::from(vec![0; 1000]));
    let begun = Instant::now();
    let mut some = [0; 50];
    assert!(timeout(Duration::from_secs(20), flush(&mut exchange.upstream)).await.is_err());
    exchange.far.read_exact(&mut some).await.unwrap();
    let failure = flush(&mut exchange.upstream).await.unwrap_err();
    assert_eq!((failure, begun.elapsed().as_secs()), (UpstreamFailure::TimedOut(Direction::Write), 50));
}

async fn tunnel() -> Exchanged {
    let mut exchange = begin(UPGRADE, Framing::Empty, 1024);
    exchange.far.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\nhello").await.unwrap();
    assert_eq!(response(&mut exchange.upstream).await.unwrap().status, 101);
    let mut request = [0; 18];
    exchange.far.read_exact(&mut request).await.unwrap();
    exchange.upstream.begin_tunnel();
    exchange
}

#[tokio::test]
async fn each_direction_of_a_tunnel_ends_by_itself() {
    let mut exchange = tunnel().await;
    assert_eq!(part(&mut exchange.upstream).await, Ok(Some(Bytes::from_static(b"hello"))));
    exchange.upstream.queue(Bytes::from_static(b"bye"));
    exchange.upstream.queue_end(None);
    flush(&mut exchange.upstream).await.unwrap();
    let mut all = String::new();
    exchange.far.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "bye");
    exchange.answer("still here").await;
    assert_eq!(body(&mut exchange.upstream).await.unwrap(), b"still here");
    assert!(!exchange.keeps());

    // The other way round.
    let mut exchange = tunnel().await;
    exchange.far.shutdown().await.unwrap();
    assert_eq!(body(&mut exchange.upstream).await.unwrap(), b"hello");
    exchange.upstream.queue(Bytes::from_static(b"still here"));
    flush(&mut exchange.upstream).await.unwrap();
    let mut read = [0; 10];
    exchange.far.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still here");
}

#[tokio::test(start_paused = true)]
async fn tunnel_ends_when_nothing_passes_in_either_direction() {
    let mut exchange = tunnel().await;
    assert!(part(&mut exchange.upstream).await.unwrap().is_some());
    let begun = Instant::now();
    for _ in 0..10 {
        assert!(timeout(Duration::from_secs(50), part(&mut exchange.upstream)).await.is_err());
        exchange.upstream.queue(Bytes::from_static(b"x"));
        flush(&mut exchange.upstream).await.unwrap();
    }
    let failure = part(&mut exchange.upstream).await.unwrap_err();
    assert_eq!((failure, begun.elapsed().as_secs()), (UpstreamFailure::TimedOut(Direction::Read), 560));
}

#[tokio::test]
async fn ended_connection_and_unasked_bytes_are_stale() {
    for (sent, ends, is_stale) in [("", false, false), ("", true, true), ("x", false, true)] {
        let (near, mut far) = duplex(64);
        let mut http1 = Http1::new(Io::Memory(near), LIMITS);
        far.write_all(sent.as_bytes()).await.unwrap();
        if ends {
            far.shutdown().await.unwrap();
        }
        assert_eq!(http1.is_stale(), is_stale, "{sent:?} {ends}");
    }
}
