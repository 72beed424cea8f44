//! Each bound, with a client that meets it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;

const SOON: Duration = Duration::from_secs(20);

/// Answers with the length of the body; `/huge` with 64 MiB, `/slow` once the test allows it.
#[derive(Clone, Default)]
struct Length {
    go: Arc<AtomicBool>,
    slow: Arc<AtomicUsize>,
}

impl Handler for Length {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<RequestBody>, _: Arc<Peer>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await;
        self.slow.fetch_add(usize::from(path == "/slow"), Ordering::Relaxed);
        while path == "/slow" && !self.go.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5)).await;
        }
        let text = match body {
            Ok(body) => body.to_bytes().len().to_string().into(),
            Err(error) => format!("{:?}", error.kind()).into(),
        };
        Response::new(if path == "/huge" { Bytes::from(vec![b'x'; 64 << 20]) } else { text }.into())
    }
}

struct Server {
    address: SocketAddr,
    handler: Length,
    met: Arc<Mutex<Vec<Bound>>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    async fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits {
            max_connections: 8,
            max_connections_per_address: 8,
            max_in_flight: 8,
            max_header_bytes: LEAST_HEADER,
            header_timeout: SOON,
            idle_timeout: SOON,
            body_timeout: SOON,
            write_timeout: SOON,
        };
        change(&mut limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, met) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Bound>>>::default());
        let (handler, stop, seen) = (Length::default(), CancellationToken::new(), Arc::clone(&met));
        let shared = HttpLimiter::new(limits, move |bound| seen.lock().unwrap().push(bound));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(Listener::Tcp(listener), handler.clone(), shared, 2, stop.clone()));
        Self { address, handler, met, stop, tasks }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    /// Waits until `count` slow requests are in progress.
    async fn wait_slow(&self, count: usize) {
        let running = || self.handler.slow.load(Ordering::Relaxed) == count;
        testkit::wait::until(SOON, "slow requests are being answered", running).await;
    }

    fn met(&self) -> Vec<Bound> {
        self.met.lock().unwrap().clone()
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HUGE: &str = "GET /huge HTTP/1.1\r\nHost: a\r\n\r\n";
const SLOW: &str = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    // A reset counts as an end.
    timeout(SOON, stream.read_to_end(&mut text)).await.expect("the connection ends").ok();
    String::from_utf8_lossy(&text).into_owned()
}

async fn first(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let read = timeout(SOON, stream.read(&mut buffer)).await.expect("an answer comes").unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn header_that_drips_is_cut_off() {
    let server = Server::start(|limits| limits.header_timeout = Duration::from_millis(300)).await;
    let (mut reader, mut writer) = server.send("GET / HTTP/1.1\r\nA: ").await.into_split();
    let (begun, mut dripping) = (Instant::now(), JoinSet::new());
    dripping.spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await
        }
    });
    assert_eq!(rest(&mut reader).await, "");
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert_eq!(server.met(), [Bound::HeaderTimeout]);
}

#[tokio::test]
async fn silent_connection_is_cut_off_before_and_after_a_request() {
    let server = Server::start(|limits| {
        (limits.header_timeout, limits.idle_timeout) =
            (Duration::from_millis(200), Duration::from_millis(400));
    })
    .await;
    assert_eq!(rest(&mut server.connect().await).await, "");
    let begun = Instant::now();
    assert!(rest(&mut server.send(GET).await).await.ends_with("\r\n\r\n0"));
    assert!(begun.elapsed() >= Duration::from_millis(350), "the pause is longer than the header's time");
    // The header of a second request has the full timeout of a header.
    let mut second = server.send(&format!("{GET}GET")).await;
    assert!(rest(&mut second).await.ends_with("\r\n\r\n0"));
    assert_eq!(server.met()[0], Bound::HeaderTimeout);
}

#[tokio::test]
async fn body_that_drips_is_an_error_of_the_handler() {
    let server = Server::start(|limits| limits.body_timeout = Duration::from_millis(300)).await;
    let stream = server.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n").await;
    let (mut reader, mut writer) = stream.into_split();
    let mut dripping = JoinSet::new();
    dripping.spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await
        }
    });
    assert!(rest(&mut reader).await.contains("TimedOut"));
    assert_eq!(server.met(), [Bound::BodyTimeout]);
}

#[tokio::test]
async fn answer_that_nobody_takes_is_cut_off() {
    let server = Server::start(|limits| limits.write_timeout = Duration::from_millis(300)).await;
    let mut stream = server.send("GET /huge HTTP/1.1\r\nHost: a\r\n\r\n").await;
    testkit::wait::until(SOON, "the answer is cut off", || server.met() == [Bound::WriteTimeout]).await;
    assert!(rest(&mut stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn answer_that_is_taken_slowly_is_cut_off_at_the_same_time() {
    let server = Server::start(|limits| limits.write_timeout = Duration::from_millis(500)).await;
    let mut stream = server.send("GET /huge HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (begun, mut buffer, mut taken) = (Instant::now(), vec![0; 16 << 10], 0);
    while server.met().is_empty() {
        assert!(begun.elapsed() < SOON);
        taken += stream.read(&mut buffer).await.unwrap_or(0);
        sleep(Duration::from_millis(10)).await;
    }
    assert!(taken < 64 << 20);
    assert_eq!(server.met(), [Bound::WriteTimeout]);
}

#[tokio::test]
async fn header_too_large_is_answered_431() {
    let server = Server::start(|_| {}).await;
    for request in [
        format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(LEAST_HEADER)),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: a\r\n".repeat(MAX_FIELDS + 1)),
    ] {
        let answer = rest(&mut server.send(&request).await).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

const MAX_FIELDS: usize = 100;

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let server = Server::start(|_| {}).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(server.send("GET").await);
    }
    assert!(first(&mut server.send(GET).await).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(rest(&mut silent[0]).await, "");
    assert!(server.met().len() >= 192 && server.met().iter().all(|bound| *bound == Bound::Connections));
}

#[tokio::test]
async fn connections_with_requests_keep_their_places() {
    let server = Server::start(|limits| limits.max_connections_per_address = 2).await;
    let mut busy = [server.send(SLOW).await, server.send(SLOW).await];
    server.wait_slow(2).await;
    let refused = rest(&mut server.connect().await).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    server.handler.go.store(true, Ordering::Relaxed);
    for stream in &mut busy {
        assert!(first(stream).await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn connection_with_an_unsent_answer_keeps_its_place_and_is_idle_afterwards() {
    let server = Server::start(|limits| {
        limits.max_connections_per_address = 1;
        limits.idle_timeout = Duration::from_millis(100);
    })
    .await;
    let mut taker = server.send(HUGE).await;
    let begun = first(&mut taker).await;
    let refused = rest(&mut server.connect().await).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    // That the connection ends shows that its pause has a deadline.
    assert!(begun.len() + rest(&mut taker).await.len() > 64 << 20);
    assert_eq!(server.met(), [Bound::Connections]);
}

#[tokio::test]
async fn unsent_answer_is_sent_after_the_stop() {
    let mut server = Server::start(|_| {}).await;
    let mut taker = server.send(HUGE).await;
    let begun = first(&mut taker).await;
    server.stop.cancel();
    sleep(Duration::from_millis(1500)).await;
    assert!(begun.len() + rest(&mut taker).await.len() > 64 << 20);
    timeout(SOON, server.tasks.join_next()).await.expect("the listener ends");
}

#[tokio::test]
async fn too_many_requests_are_answered_503_at_once() {
    let server = Server::start(|limits| limits.max_in_flight = 1).await;
    let mut slow = server.send(SLOW).await;
    server.wait_slow(1).await;
    let refused = first(&mut server.send(GET).await).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\"message\""), "{refused}");
    server.handler.go.store(true, Ordering::Relaxed);
    assert!(first(&mut slow).await.starts_with("HTTP/1.1 200 "));
    assert!(first(&mut server.send(GET).await).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(server.met(), [Bound::InFlight]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = Server::start(|limits| limits.idle_timeout = Duration::from_millis(300)).await;
    let answers = rest(&mut server.send(&GET.repeat(50)).await).await;
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 50);
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_has_begun_and_ends() {
    let mut server = Server::start(|_| {}).await;
    let (mut idle, mut half) = (server.send(GET).await, server.send("GET").await);
    first(&mut idle).await;
    let mut slow = server.send(SLOW).await;
    server.wait_slow(1).await;
    server.stop.cancel();
    assert_eq!((rest(&mut idle).await, rest(&mut half).await), (String::new(), String::new()));
    server.handler.go.store(true, Ordering::Relaxed);
    assert!(first(&mut slow).await.starts_with("HTTP/1.1 200 "));
    timeout(SOON, server.tasks.join_next()).await.expect("the listener ends");
}
