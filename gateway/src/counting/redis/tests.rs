//! Tests counters on a real server.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::redis::Redis as RealRedis;
use testkit::wait::{eventually, until};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::counting::clock::unix_millis;
use crate::counting::counters::{Namespace, Scope};

const SOON: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(300);

/// Connects on loopback, and counts.
#[derive(Debug, Default)]
struct Loopback(AtomicUsize);

impl Dial for Loopback {
    fn dial<'a>(&'a self, terms: &'a RedisTerms, _: Uuid) -> Dialed<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, terms.port)).await;
            Ok(Box::new(stream.map_err(|_| RedisFailure::Connect)?) as Box<dyn Stream>)
        })
    }
}

/// One node.
struct Node {
    redis: Redis,
    counters: Arc<Counters>,
    dial: Arc<Loopback>,
}

impl Node {
    fn new() -> Self {
        let (counters, dial) = (Arc::new(Counters::default()), Arc::new(Loopback::default()));
        Self { redis: Redis::new(dial.clone(), counters.clone()), counters, dial }
    }

    fn ask(&self, name: &str, period: Period, limit: f64) -> Ask {
        let subject = self.counters.subject(&Namespace::new(&Scope::default(), b"test"), name.as_bytes());
        Ask { subject, period, limit, sliding: false, cost: 1.0 }
    }

    /// The server, with a connection.
    async fn server(&self, port: u16) -> Arc<Server> {
        let server = self.redis.server(&terms(port), Uuid::nil());
        connected(&server).await;
        server
    }
}

fn terms(port: u16) -> RedisTerms {
    RedisTerms {
        host: "redis.test".into(),
        port,
        timeout: TIMEOUT,
        username: None,
        password: None,
        database: 0,
        tls: None,
    }
}

fn keys(name: &str, asks: &[Ask], now: u64) -> Vec<Keys> {
    asks.iter().map(|ask| Keys::new(name.as_bytes(), None, ask.period, now)).collect()
}

async fn take(server: &Server, name: &str, asks: &[Ask], now: u64) -> Result<Taken, RedisFailure> {
    server.take(asks, &keys(name, asks, now), now).await
}

async fn connected(server: &Server) {
    let asks = [];
    eventually(SOON, || async { take(server, "", &asks, 0).await.map(drop) }).await;
}

#[tokio::test]
async fn requests_of_several_nodes_pass_up_to_the_limit() {
    let real = RealRedis::start();
    let nodes: Vec<_> = (0..3).map(|_| Arc::new(Node::new())).collect();
    let (now, passed) = (unix_millis(), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for number in 0..30 {
        let (node, passed) = (nodes[number % 3].clone(), passed.clone());
        let port = real.port();
        tasks.spawn(async move {
            let server = node.server(port).await;
            let asks = [node.ask("a", Period::Hour, 100.0), node.ask("a", Period::Day, 1000.0)];
            for _ in 0..30 {
                let taken = take(&server, "a", &asks, now).await.unwrap();
                passed.fetch_add(usize::from(taken.allowed), Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(passed.load(Ordering::Relaxed), 100);
    // What was refused is not counted, on no counter. The keys and numbers are those of Kong.
    let of_hour = Keys::new(b"a", None, Period::Hour, now).current;
    let of_hour = String::from_utf8(of_hour).unwrap();
    assert_eq!(of_hour, format!("a:{}000:hour", Period::Hour.window_at(now).start));
    assert_eq!(real.run(&["GET", &of_hour]), "100");
    assert_eq!(real.run(&["GET", &format!("a:{}000:day", Period::Day.window_at(now).start)]), "100");
    let left: u64 = real.run(&["PTTL", &of_hour]).parse().unwrap();
    assert!(left <= 3_601_000, "{left}");
    // Each node has one connection.
    assert!(nodes.iter().all(|node| node.dial.0.load(Ordering::Relaxed) == 1));
}

#[tokio::test]
async fn windows_slide_and_uses_have_any_size() {
    let (real, node) = (RealRedis::start(), Node::new());
    let server = node.server(real.port()).await;
    let sliding = [Ask { sliding: true, ..node.ask("s", Period::Minute, 60.0) }];
    let mut passed = Vec::new();
    for now in [119_999, 120_000, 121_000, 150_000] {
        let mut count = 0;
        while take(&server, "s", &sliding, now).await.unwrap().allowed {
            count += 1;
        }
        passed.push(count);
    }
    assert_eq!(passed, [60, 0, 1, 29]);
    let used = |cost| [Ask { cost, ..node.ask("u", Period::Hour, 10.0) }];
    for (cost, allowed, usage) in [(7.5, true, 0.0), (0.0, true, 7.5), (4.0, true, 7.5), (1.0, false, 11.5)] {
        let taken = take(&server, "u", &used(cost), 60_000).await.unwrap();
        assert_eq!((taken.allowed, taken.usage[0]), (allowed, usage), "{cost}");
    }
    node.redis.add_later(&server, &used(2.5), &keys("u", &used(2.5), 60_000), 60_000);
    eventually(SOON, || async {
        let usage = server.look(&used(0.0), &keys("u", &used(0.0), 60_000), 60_000).await.unwrap().usage;
        if usage[0] == 14.0 { Ok(()) } else { Err(format!("{usage:?}")) }
    })
    .await;
}

#[tokio::test]
async fn server_without_the_scripts_gets_them_and_wrong_values_are_refused() {
    let (real, node) = (RealRedis::start(), Node::new());
    let server = node.server(real.port()).await;
    let asks = [node.ask("a", Period::Hour, 10.0)];
    take(&server, "a", &asks, 60_000).await.unwrap();
    real.run(&["SCRIPT", "FLUSH"]);
    assert_eq!(take(&server, "a", &asks, 60_000).await.unwrap().usage.to_vec(), [1.0]);
    real.run(&["LPUSH", "list:0000:hour", "x"]);
    let list = [Keys { current: b"list:0000:hour".to_vec(), previous: b"x".to_vec() }];
    assert_eq!(server.take(&asks, &list, 60_000).await, Err(RedisFailure::Refused));
    // The connection stays.
    assert!(take(&server, "a", &asks, 60_000).await.is_ok());
    assert_eq!(node.dial.0.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn user_password_and_database_are_those_of_the_terms() {
    let (real, node) = (RealRedis::with_password("pass-word"), Node::new());
    real.run(&["ACL", "SETUSER", "gate", "on", ">secret", "~*", "+@all"]);
    for (username, password, database) in
        [(None, "pass-word", 3), (Some("gate"), "secret", 2), (Some("default"), "pass-word", 0)]
    {
        let terms = RedisTerms {
            username: username.map(Into::into),
            password: Some(password.into()),
            database,
            ..terms(real.port())
        };
        let server = node.redis.server(&terms, Uuid::nil());
        connected(&server).await;
        let name = format!("db{database}");
        take(&server, &name, &[node.ask("a", Period::Hour, 10.0)], 0).await.unwrap();
        assert_eq!(real.run(&["-n", &database.to_string(), "GET", &format!("{name}:0000:hour")]), "1");
        assert!(!format!("{terms:?} {server:?}").contains(password));
    }
    for (password, failure) in [(None, RedisFailure::Away), (Some("wrong"), RedisFailure::Away)] {
        let terms = RedisTerms { password: password.map(Into::into), ..terms(real.port()) };
        let server = node.redis.server(&terms, Uuid::nil());
        assert_eq!(take(&server, "a", &[], 0).await, Err(failure));
    }
}

#[tokio::test]
async fn request_waits_no_longer_than_the_timeout_and_not_at_all_for_a_server_that_is_away() {
    let (mut real, node) = (RealRedis::start(), Node::new());
    let server = node.server(real.port()).await;
    let asks = [node.ask("a", Period::Hour, 1000.0)];
    let most = |begun: Instant| {
        let took = begun.elapsed();
        assert!(took < TIMEOUT + Duration::from_millis(200), "{took:?}");
    };

    // Killed: the connection ends, and every request knows.
    real.kill();
    until(SOON, "the server is away", || server.is_away()).await;
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(take(&server, "a", &asks, 0).await, Err(RedisFailure::Away));
    }
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());

    // Started again: requests are counted again.
    real.start_again();
    connected(&server).await;
    assert!(take(&server, "a", &asks, 0).await.unwrap().allowed);

    // Silent: of many requests each waits as long as the timeout, and later ones do not.
    real.stall();
    let begun = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let server = server.clone();
        waiting.spawn(async move { take(&server, "a", &asks, 0).await.is_err() });
    }
    assert!(waiting.join_all().await.into_iter().all(|failed| failed));
    most(begun);
    until(SOON, "the server is away", || server.is_away()).await;
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(take(&server, "a", &asks, 0).await, Err(RedisFailure::Away));
    }
    assert!(begun.elapsed() < TIMEOUT, "{:?}", begun.elapsed());
    real.go_on();
    connected(&server).await;

    // One that was never there.
    let free = testkit::ports::reserve();
    let begun = Instant::now();
    let server = node.redis.server(&terms(free.number()), Uuid::nil());
    assert!(take(&server, "a", &asks, 0).await.is_err());
    most(begun);
}

#[tokio::test]
async fn synced_counts_meet_on_the_server() {
    let real = RealRedis::start();
    let nodes: Vec<_> = (0..3).map(|_| Node::new()).collect();
    let every = Duration::from_millis(50);
    let count = |node: &Node, name: &str, requests: usize| {
        let (ask, now) = (node.ask(name, Period::Year, 100.0), unix_millis());
        let synced = node.redis.synced(&terms(real.port()), Uuid::nil(), every);
        let passed = (0..requests).filter(|_| {
            let taken = node.counters.take(&[ask], now);
            if taken.allowed {
                synced.note(&ask, now, || Keys::new(name.as_bytes(), None, ask.period, now).current);
            }
            taken.allowed
        });
        passed.count()
    };
    for node in &nodes {
        node.server(real.port()).await;
        assert_eq!(count(node, "a", 20), 20);
    }
    let key = format!("a:{}000:year", Period::Year.window_at(unix_millis()).start);
    eventually(SOON, || async {
        let total = real.run(&["GET", &key]);
        if total == "60" { Ok(()) } else { Err(total) }
    })
    .await;
    // Each node learns what all have counted when it sends the next time.
    for node in &nodes {
        count(node, "a", 1);
    }
    eventually(SOON, || async {
        let usage = nodes.iter().map(|node| {
            let ask = node.ask("a", Period::Year, 100.0).without_cost();
            node.counters.take(&[ask], unix_millis()).usage[0]
        });
        let usage: Vec<_> = usage.collect();
        if usage.iter().all(|usage| *usage >= 61.0) { Ok(()) } else { Err(format!("{usage:?}")) }
    })
    .await;
    let passed: usize = nodes.iter().map(|node| count(node, "a", 1000)).sum();
    // Each knew of 61 at least, and none of what the others counted since.
    assert!((37..=3 * 39).contains(&passed), "{passed}");
}

#[tokio::test]
async fn what_a_server_missed_is_sent_when_it_is_back() {
    let (mut real, node) = (RealRedis::start(), Node::new());
    let server = node.server(real.port()).await;
    real.kill();
    until(SOON, "the server is away", || server.is_away()).await;
    let (ask, now) = (node.ask("a", Period::Year, 10.0), unix_millis());
    let synced = node.redis.synced(&terms(real.port()), Uuid::nil(), Duration::from_millis(20));
    for _ in 0..25 {
        if node.counters.take(&[ask], now).allowed {
            synced.note(&ask, now, || Keys::new(b"a", None, ask.period, now).current);
        }
    }
    real.start_again();
    let key = format!("a:{}000:year", Period::Year.window_at(now).start);
    eventually(SOON, || async {
        let total = real.run(&["GET", &key]);
        if total == "10" { Ok(()) } else { Err(total) }
    })
    .await;
}
