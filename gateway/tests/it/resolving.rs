//! Upstreams by name, with name servers that are silent, lie, change their minds or stop.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use testkit::dns::{Behaviour, DnsServer, Record};
use testkit::http::Client;
use testkit::origin::{Answer, Origin};
use testkit::ports::{self, Port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::{Gateway, at, route, service};

/// The most time that a request takes which does not wait for a name server.
const PROMPT: Duration = Duration::from_millis(500);

fn a(last: u8) -> Record {
    Record::A(Ipv4Addr::new(127, 0, 0, last))
}

/// A name server that knows the address of `good.test`, and is silent for other names.
fn name_server() -> DnsServer {
    let server = DnsServer::start();
    server.does(Behaviour::Silent);
    server.does_for("good.test", Behaviour::Answer);
    server.set("good.test", 60, [a(1)]);
    server
}

/// Servers on one port of many addresses. Each answers with the last byte of its address.
struct Places {
    port: Port,
    accepted: Arc<[AtomicUsize; 256]>,
    _tasks: JoinSet<()>,
}

impl Places {
    fn start(last: RangeInclusive<u8>) -> Self {
        let (port, mut tasks) = (ports::reserve(), JoinSet::new());
        let accepted = Arc::new([const { AtomicUsize::new(0) }; 256]);
        for last in last {
            let listener =
                std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port.number())).unwrap();
            listener.set_nonblocking(true).unwrap();
            tasks.spawn(place(TcpListener::from_std(listener).unwrap(), last, accepted.clone()));
        }
        Self { port, accepted, _tasks: tasks }
    }

    fn accepted(&self, last: u8) -> usize {
        self.accepted[usize::from(last)].load(Ordering::Relaxed)
    }
}

async fn place(listener: TcpListener, last: u8, accepted: Arc<[AtomicUsize; 256]>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        accepted[usize::from(last)].fetch_add(1, Ordering::Relaxed);
        connections.spawn(async move {
            let mut header = vec![0; 8192];
            let mut length = 0;
            while let Ok(read @ 1..) = stream.read(&mut header[length..]).await {
                length += read;
                if header[..length].ends_with(b"\r\n\r\n") {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{last:03}");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    length = 0;
                }
            }
        });
    }
}

/// Sends requests one after the other for `time`. Each must be prompt; returns their statuses and the places
/// that answered.
async fn requests(gateway: &Gateway, time: Duration) -> Vec<(u16, String)> {
    let (begun, mut answers) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let asked = Instant::now();
        let response = gateway.get("/").await;
        assert!(asked.elapsed() < PROMPT, "{} after {:?}", response.status, asked.elapsed());
        answers.push((response.status, String::from_utf8_lossy(&response.body).into_owned()));
        sleep(Duration::from_millis(10)).await;
    }
    answers
}

/// A gateway with one service at `moving.test`, to which 127.0.0.66 is forbidden.
fn gateway_to(places: &Places, server: &DnsServer) -> Gateway {
    let gateway = Gateway::with(&[
        ("upstream.name_servers", &server.address().to_string()),
        ("upstream.resolve_timeout", "1s"),
        ("upstream.deny", "127.0.0.66"),
    ]);
    gateway.apply(vec![]);
    gateway.serve(
        model::Service { host: "Moving.test".into(), retries: 0, ..at(1, places.port.address()) },
        route(1, "/"),
    );
    gateway
}

/// After a change the old address may serve for the shortest TTL of 1 s, and a moment.
const CHANGED: Duration = Duration::from_millis(1800);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_for_a_name_server_that_changes_lies_or_stops() {
    let (places, mut server) = (Places::start(1..=100), DnsServer::start());
    server.set("moving.test", 0, [a(1)]);
    let gateway = gateway_to(&places, &server);
    gateway.get("/").await.expect(200);
    let all_at = |answers: &[(u16, String)], place: &str| {
        assert!(answers.iter().all(|(status, at)| *status == 200 && at == place), "{place}: {answers:?}");
    };
    for last in 2..=4 {
        server.set("moving.test", 0, [a(last)]);
        let answers = requests(&gateway, CHANGED).await;
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        all_at(&requests(&gateway, Duration::from_millis(200)).await, &format!("{last:03}"));
    }
    let slow = Behaviour::Slow(Duration::from_millis(300));
    // Denials first: the delays of look-ups grow while they fail.
    for behaviour in [slow, Behaviour::Code(3), Behaviour::Code(2), Behaviour::Silent] {
        server.does(behaviour);
        all_at(&requests(&gateway, CHANGED).await, "004");
    }
    server.stop();
    all_at(&requests(&gateway, CHANGED).await, "004");
    server.resume();
    server.does(Behaviour::Answer);
    server.set("moving.test", 0, (1..=100).map(a));
    // Look-ups that have failed are repeated after longer delays.
    let begun = Instant::now();
    while places.accepted(50) == 0 {
        requests(&gateway, Duration::from_secs(1)).await;
        assert!(begun.elapsed() < Duration::from_secs(60), "the new addresses are not used");
    }
    let answers = requests(&gateway, Duration::from_secs(2)).await;
    let distinct: HashSet<_> = answers.iter().map(|(_, at)| at).collect();
    assert!(distinct.len() >= answers.len().min(100) * 9 / 10, "{} of {}", distinct.len(), answers.len());
    assert_eq!(gateway.metric("gibbon_http_errors_total{reason=\"name_resolution\"}"), 0.0);
    assert!(gateway.metric("gibbon_dns_lookups_total{result=\"no_address\"}") >= 1.0);
    assert!(gateway.metric("gibbon_dns_lookups_total{result=\"failed\"}") >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_goes_where_the_policy_forbids() {
    let (places, server) = (Places::start(65..=67), DnsServer::start());
    server.set("moving.test", 0, [a(66)]);
    let gateway = gateway_to(&places, &server);
    assert_ne!(gateway.get("/").await.status, 200);
    server.set("moving.test", 0, [a(65), a(66), a(67)]);
    requests(&gateway, CHANGED).await;
    let answers = requests(&gateway, Duration::from_secs(1)).await;
    assert!(answers.iter().all(|(status, at)| *status == 200 && at != "066"), "{answers:?}");
    server.set("moving.test", 0, [Record::Cname("inner.test".to_owned())]);
    server.set("inner.test", 0, [a(66)]);
    requests(&gateway, CHANGED).await;
    let answers = requests(&gateway, Duration::from_millis(500)).await;
    assert!(answers.iter().all(|(status, _)| *status != 200), "{answers:?}");
    assert_eq!(places.accepted(66), 0);
    assert!(gateway.metric("gibbon_http_errors_total{reason=\"upstream_denied\"}") >= 1.0);
}

/// Of 160 requests 20 may wait for one name: all requests of the good name, and half of those of the silent
/// one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_name_costs_its_own_requests_only() {
    let (origin, server) = (Origin::start(), name_server());
    origin.answer(Answer::status(200));
    let gateway = Gateway::with(&[
        ("upstream.name_servers", &server.address().to_string()),
        ("upstream.resolve_timeout", "1s"),
        ("proxy.max_in_flight", "160"),
    ]);
    gateway.apply(vec![]);
    let silent = model::Service { host: "silent.test".into(), ..at(1, origin.address()) };
    let good = model::Service { host: "good.test".into(), ..service(2, &origin) };
    gateway.serve(silent, route(1, "/silent"));
    gateway.serve(good, route(2, "/good"));
    let (address, begun) = (gateway.address(), Instant::now());
    let mut requests = JoinSet::new();
    for number in 0..60 {
        requests.spawn(async move {
            let (path, client) = (if number % 3 == 0 { "/good" } else { "/silent" }, Client::new(address));
            let mut answers = Vec::new();
            for _ in 0..8 {
                let asked = Instant::now();
                let status = client.get(path).await.unwrap().status;
                answers.push((path, status, asked.elapsed()));
            }
            answers
        });
    }
    let answers = requests.join_all().await.concat();
    for (path, status, took) in &answers {
        let wanted = if *path == "/good" { 200 } else { 503 };
        assert_eq!(*status, wanted, "{path} after {took:?}");
    }
    // Eight requests one after the other: at most those that begin a look-up wait.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(gateway.metric("gibbon_http_errors_total{reason=\"overloaded\"}"), 0.0);
}

/// The hosts file is used before any name server, and whatever the search domains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_file_comes_first() {
    let (origin, server) = (Origin::start(), name_server());
    origin.answer(Answer::status(200));
    let gateway = Gateway::with(&[("upstream.name_servers", &server.address().to_string())]);
    gateway.apply(vec![]);
    gateway.serve(model::Service { host: "localhost".into(), ..service(1, &origin) }, route(1, "/"));
    gateway.get("/").await.expect(200);
}
