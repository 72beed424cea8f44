//! Plaintext probes.

use ::http::uri::PathAndQuery;
use ::http::{HeaderName, HeaderValue, Method, Version};
use h2::server::Builder;
use testkit::origin::{Answer, Origin};
use testkit::unreachable::Blackhole;
use testkit::{ports, wait};
use tokio::time::Instant;

use super::*;
use crate::upstream::testing::{Server, ok};
use crate::upstream::{Protocol, Terms};

fn check() -> HttpCheck {
    HttpCheck {
        terms: Terms::plain(Protocol::Http1),
        version: Version::HTTP_11,
        method: Method::GET,
        path: PathAndQuery::from_static("/status?of=me"),
        host: HeaderValue::from_static("target.test"),
        fields: Arc::new([]),
    }
}

fn with(fields: &[(&'static str, &'static str)], method: Method) -> Check {
    let field = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let fields = fields.iter().copied().map(field).collect();
    Check::Http(HttpCheck { fields, method, ..check() })
}

pub(super) fn plain() -> Check {
    Check::Http(check())
}

#[tokio::test]
async fn status_is_the_result_and_the_connection_is_used_again() {
    let (origin, probing) = (Origin::start(), Probing::new());
    for (answer, status) in [
        (Answer::status(200).body("hello"), 200),
        (Answer::status(302).header("Location", "/elsewhere"), 302),
        (Answer::status(503).body("x".repeat(60_000)), 503),
        (Answer::status(200).body("in chunks").chunked(), 200),
        (Answer::status(204), 204),
        (Answer::raw("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), 999),
    ] {
        origin.answer(answer);
        assert_eq!(probing.run(origin.address(), plain()).await, ProbeOutcome::Status(status));
    }
    // No redirect was followed.
    assert_eq!((origin.count(), origin.connections()), (6, 1));
    let sent = origin.last();
    assert_eq!((&*sent.method, &*sent.target, sent.body.len()), ("GET", "/status?of=me", 0));
    let agent = concat!("gibbon-probe/", env!("CARGO_PKG_VERSION"));
    let fields = [("Host", "target.test"), ("User-Agent", agent)];
    assert_eq!(sent.headers, fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn configured_fields_are_sent_and_those_about_a_body_are_not() {
    let (origin, probing) = (Origin::start(), Probing::new());
    let fields = [
        ("host", "other.test"),
        ("user-agent", "me"),
        ("x-token", "1"),
        ("x-token", "2"),
        ("content-length", "7"),
        ("transfer-encoding", "chunked"),
    ];
    for _ in 0..2 {
        let outcome = probing.run(origin.address(), with(&fields, Method::POST)).await;
        assert_eq!(outcome, ProbeOutcome::Status(200));
    }
    let sent = origin.last();
    assert_eq!((&*sent.method, origin.connections()), ("POST", 1));
    assert_eq!(sent.header_values("host").collect::<Vec<_>>(), ["other.test"]);
    assert_eq!(sent.header_values("user-agent").collect::<Vec<_>>(), ["me"]);
    assert_eq!(sent.header_values("x-token").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(sent.header_values("content-length").collect::<Vec<_>>(), ["0"]);
    assert_eq!(sent.header("transfer-encoding"), None);
    let outcome = probing.run(origin.address(), with(&[("connection", "close")], Method::HEAD)).await;
    assert_eq!(outcome, ProbeOutcome::Status(200));
    assert_eq!(origin.last().header_values("connection").collect::<Vec<_>>(), ["close"]);
}

#[tokio::test]
async fn address_that_does_not_accept_or_answer_fails() {
    let (probing, refusing, hole) = (Probing::new(), ports::reserve(), Blackhole::start());
    let soon = Duration::from_millis(200);
    for check in [plain(), Check::Tcp] {
        let refused = probing.run(refusing.address(), check.clone()).await;
        assert!(is_tcp_failure(&refused, "cannot connect"), "{refused:?}");
        let begun = Instant::now();
        assert_eq!(probing.run_within(hole.address(), check, soon).await, ProbeOutcome::Timeout);
        assert!(begun.elapsed() < 5 * SECOND);
    }
    let origin = Origin::start();
    assert_eq!(probing.run(origin.address(), Check::Tcp).await, ProbeOutcome::Success);
    assert_eq!(origin.count(), 0);
    origin.answer(Answer::hang());
    assert_eq!(probing.run_within(origin.address(), plain(), soon).await, ProbeOutcome::Timeout);
    origin.answer(Answer::status(200).delay(SECOND));
    assert_eq!(probing.run_within(origin.address(), plain(), soon).await, ProbeOutcome::Timeout);
    assert_eq!(probing.run(origin.address(), plain()).await, ProbeOutcome::Status(200));
}

#[tokio::test]
async fn invalid_answers_fail_in_their_own_way() {
    let probing = Probing::new();
    for (answer, text) in [
        ("SSH-2.0-OpenSSH_9\r\n\r\n".to_owned(), "status line"),
        ("HTTP/1.1 abc\r\n\r\n".into(), "invalid answer"),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)), "too large"),
        (format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(1000)), "too large"),
        ("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000), "interim"),
    ] {
        let server = Scripted::start(move |_| Some(answer.clone().into_bytes())).await;
        let outcome = probing.run(server.address, plain()).await;
        assert!(is_http_failure(&outcome, text), "{outcome:?}");
    }
    let origin = Origin::start();
    for answer in [Answer::close(), Answer::reset()] {
        origin.answer(answer);
        let outcome = probing.run(origin.address(), plain()).await;
        assert!(is_tcp_failure(&outcome, "ended before the answer"), "{outcome:?}");
    }
    let partly = Scripted::start(|_| Some(b"HTTP/1.1 200 OK\r\nX-Half".to_vec())).await;
    let soon = Duration::from_millis(200);
    assert_eq!(probing.run_within(partly.address, plain(), soon).await, ProbeOutcome::Timeout);
}

#[tokio::test]
async fn interim_answers_are_skipped() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let server = Scripted::start(|_| Some(answer.into())).await;
    assert_eq!(Probing::new().run(server.address, plain()).await, ProbeOutcome::Status(200));
}

#[tokio::test]
async fn endless_body_does_not_delay_the_result() {
    let (origin, probing) = (Origin::start(), Probing::new());
    for (answer, connections) in [
        (Answer::status(200).size(1 << 30), 1),
        (Answer::status(200).body("x".repeat(1000)).chunked().slow(1, SECOND), 2),
        (Answer::status(200).body("x".repeat(1000)).until_close().slow(1, SECOND), 3),
    ] {
        origin.answer(answer);
        let begun = Instant::now();
        assert_eq!(probing.run(origin.address(), plain()).await, ProbeOutcome::Status(200));
        assert!(begun.elapsed() < 5 * SECOND, "{:?}", begun.elapsed());
        // Such a connection is not used again.
        assert_eq!(origin.connections(), connections);
    }
}

#[tokio::test]
async fn server_that_wants_the_other_version_gets_it_then_and_later() {
    for (first, wanted, status) in [
        (Version::HTTP_10, " HTTP/1.1\r\n", "426 Upgrade Required"),
        (Version::HTTP_11, " HTTP/1.0\r\n", "505 HTTP Version Not Supported"),
    ] {
        let requests = Arc::new(parking_lot::Mutex::new(0));
        let count = requests.clone();
        let script = move |header: &str| {
            *count.lock() += 1;
            let status = if header.contains(wanted) { "200 OK" } else { status };
            Some(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
        };
        let (server, probing) = (Scripted::start(script).await, Probing::new());
        let check = Check::Http(HttpCheck { version: first, ..check() });
        for sent in [2, 3, 4] {
            assert_eq!(probing.run(server.address, check.clone()).await, ProbeOutcome::Status(200));
            assert_eq!(*requests.lock(), sent);
        }
    }
    let never = "HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n";
    let (server, probing) = (Scripted::start(|_| Some(never.into())).await, Probing::new());
    for _ in 0..2 {
        assert_eq!(probing.run(server.address, plain()).await, ProbeOutcome::Status(505));
    }
}

#[tokio::test]
async fn connection_that_the_server_has_ended_is_no_failure() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let script = move |_: &str| {
        // Every second request of a connection is not answered.
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        (number.is_multiple_of(2)).then(|| b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())
    };
    let (server, probing) = (Scripted::start(script).await, Probing::new());
    for _ in 0..10 {
        assert_eq!(probing.run(server.address, plain()).await, ProbeOutcome::Status(200));
    }
}

#[tokio::test]
async fn server_that_stops_fails_and_one_that_returns_does_not() {
    let (mut origin, probing) = (Origin::start(), Probing::new());
    for _ in 0..3 {
        assert_eq!(probing.run(origin.address(), plain()).await, ProbeOutcome::Status(200));
        origin.stop();
        let outcome = probing.run(origin.address(), plain()).await;
        assert!(matches!(outcome, ProbeOutcome::TcpFailure(_)), "{outcome:?}");
        origin.restart();
    }
}

#[tokio::test]
async fn connections_are_renewed_now_and_then() {
    let (origin, probing) = (Origin::start(), Probing::new());
    for _ in 0..250 {
        assert_eq!(probing.run(origin.address(), plain()).await, ProbeOutcome::Status(200));
    }
    assert_eq!(origin.connections(), 3);
}

#[tokio::test]
async fn http2_by_prior_knowledge_is_probed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let check = Check::Http(HttpCheck { terms: Terms::plain(Protocol::Http2), ..check() });
    let probing = Probing::new();
    let probe = async { (probing.run(address, check.clone()).await, probing.run(address, check).await) };
    let serve = async {
        let mut server = Server::start(listener.accept().await.unwrap().0, Builder::new());
        for status in [200, 503] {
            let (request, mut respond) = server.accept().await;
            assert_eq!(request.uri().to_string(), "http://target.test/status?of=me");
            let mut answer = ok();
            *answer.status_mut() = ::http::StatusCode::from_u16(status).unwrap();
            respond.send_response(answer, true).unwrap();
        }
        server
    };
    let (outcomes, _server) = tokio::join!(probe, serve);
    assert_eq!(outcomes, (ProbeOutcome::Status(200), ProbeOutcome::Status(503)));
    // A server of HTTP/1 does not speak it.
    let origin = Origin::start();
    let check = Check::Http(HttpCheck { terms: Terms::plain(Protocol::Http2), ..self::check() });
    let outcome = probing.run_within(origin.address(), check, 2 * SECOND).await;
    assert!(!matches!(outcome, ProbeOutcome::Status(_)), "{outcome:?}");
    wait::until(10 * SECOND, "connected", || origin.connections() > 0).await;
}
