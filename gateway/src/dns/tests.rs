//! Tests the cache under a paused clock, with scripted name servers.

mod watching;

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

use super::watched::IDLE;
use super::*;
use crate::metrics::DnsMetrics;

const TIMEOUT: Duration = Duration::from_secs(2);
const TTL: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// The behaviour of the name server.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// One address, with this last byte.
    Answer(u8),
    /// This many addresses.
    Many(u8),
    Deny,
    Fail,
    Silence,
}

/// A name server. Names with "silent" in them get no answer.
#[derive(Clone, Debug)]
struct Server(Arc<State>);

#[derive(Debug)]
struct State {
    does: Mutex<Does>,
    delay: Mutex<Duration>,
    ttl: Mutex<Duration>,
    asked: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Server {
    fn new(does: Does) -> Self {
        Self(Arc::new(State {
            does: Mutex::new(does),
            delay: Mutex::default(),
            ttl: Mutex::new(TTL),
            asked: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
        }))
    }

    fn found(&self, last: &[u8]) -> Found {
        let endpoints = last.iter().map(|last| Endpoint::of([10, 0, 0, *last].into())).collect();
        Found { endpoints, kind: RecordKind::A, ttl: *self.0.ttl.lock(), missing: vec![] }
    }

    fn does(&self, does: Does) {
        *self.0.does.lock() = does;
    }

    fn delay(&self, delay: Duration) {
        *self.0.delay.lock() = delay;
    }

    fn ttl(&self, ttl: Duration) {
        *self.0.ttl.lock() = ttl;
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }
}

/// Counts a look-up for as long as it lives.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn new(state: &Arc<State>) -> Self {
        let now = state.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        state.most_under_way.fetch_max(now, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl LookUp for Server {
    async fn look_up(&self, query: &Query) -> Result<Found, LookUpError> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay::new(&self.0);
        let (does, delay) = (*self.0.does.lock(), *self.0.delay.lock());
        if !delay.is_zero() {
            sleep(delay).await;
        }
        match does {
            Does::Silence => pending().await,
            _ if query.host.contains("silent") => pending().await,
            Does::Fail => Err(LookUpError::Server(2)),
            Does::Deny => Err(LookUpError::NoName),
            Does::Answer(last) => Ok(self.found(&[last])),
            Does::Many(count) => Ok(self.found(&(0..count).collect::<Vec<_>>())),
        }
    }
}

/// Names and their driver, which ends when it is dropped.
struct Running {
    names: Arc<Names>,
    metrics: DnsMetrics,
    _driver: JoinSet<()>,
}

fn start(server: &Server, waiting: usize) -> Running {
    let metrics = DnsMetrics::new(&Registry::new()).unwrap();
    let limits = Limits { timeout: TIMEOUT, waiting };
    let (names, driver) = Names::new(server.clone(), limits, DnsTerms::default(), metrics.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    Running { names, metrics, _driver: tasks }
}

fn resolver(server: &Server, waiting: usize) -> Arc<Running> {
    Arc::new(start(server, waiting))
}

/// Resolves a name. Returns the last byte of the address (`None` when there is none), and how long that took.
async fn ask(resolver: &Running, name: &str) -> (Option<u8>, Duration) {
    let asked = Instant::now();
    let found = resolver.names.resolve(name).await;
    let last = found.map(|found| match found.nth(0) {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => panic!("{address}"),
    });
    (last, asked.elapsed())
}

const NOTHING: Duration = Duration::ZERO;

#[tokio::test(start_paused = true)]
async fn silence_costs_the_first_requests_one_timeout_and_later_ones_nothing() {
    let server = Server::new(Does::Silence);
    let resolver = resolver(&server, 1000);
    let mut first = JoinSet::new();
    for _ in 0..100 {
        let resolver = resolver.clone();
        first.spawn(async move { ask(&resolver, "a").await });
    }
    for (found, took) in first.join_all().await {
        assert_eq!(found, None);
        assert!(took <= TIMEOUT, "{took:?}: not one behind the other");
    }
    assert_eq!(server.asked(), 1);
    let mut waited = 0;
    // Far longer than any failure is remembered without another look-up.
    for _ in 0..10_000 {
        sleep(Duration::from_millis(10)).await;
        let (found, took) = ask(&resolver, "a").await;
        assert!(found.is_none() && took <= TIMEOUT);
        waited += usize::from(took > NOTHING);
    }
    // Only the requests that begin a look-up wait for it.
    assert!(waited <= server.asked() && server.asked() <= 110, "{waited} waited for {}", server.asked());
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_bound_fail_at_once() {
    let server = Server::new(Does::Silence);
    let resolver = resolver(&server, 40);
    let mut requests = JoinSet::new();
    for number in 0..1000 {
        let resolver = resolver.clone();
        let name = format!("silent{}", number % 10);
        requests.spawn(async move { ask(&resolver, &name).await.1 });
    }
    let waited = requests.join_all().await.into_iter().filter(|took| *took > NOTHING).count();
    assert_eq!(waited, 40);
    let mut one_name = JoinSet::new();
    for _ in 0..1000 {
        let resolver = resolver.clone();
        one_name.spawn(async move { ask(&resolver, "silent").await.1 });
    }
    let waited = one_name.join_all().await.into_iter().filter(|took| *took > NOTHING).count();
    assert_eq!(waited, 10);
}

#[tokio::test(start_paused = true)]
async fn a_name_recovers_with_the_first_look_up_that_succeeds() {
    let server = Server::new(Does::Fail);
    let resolver = resolver(&server, 10);
    assert_eq!(ask(&resolver, "a").await, (None, NOTHING));
    server.does(Does::Answer(1));
    assert_eq!(ask(&resolver, "a").await, (None, NOTHING));
    assert_eq!(server.asked(), 1, "a failure is good for a second");
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&resolver, "a").await.0, Some(1));
}

#[tokio::test(start_paused = true)]
async fn old_addresses_are_used_while_look_ups_fail_and_no_longer_than_an_hour() {
    for fault in [Does::Fail, Does::Silence] {
        let server = Server::new(Does::Answer(1));
        let resolver = resolver(&server, 10);
        assert_eq!(ask(&resolver, "a").await.0, Some(1));
        server.does(fault);
        let failed = Instant::now();
        while failed.elapsed() < HOUR {
            assert_eq!(ask(&resolver, "a").await, (Some(1), NOTHING), "{:?}", failed.elapsed());
            sleep(Duration::from_secs(1)).await;
        }
        advance(2 * TTL).await;
        assert_eq!(ask(&resolver, "a").await.0, None);
        server.does(Does::Answer(2));
        // A look-up that the fault still holds ends first, and a failure is good for a second.
        let recovers = Instant::now() + 2 * TIMEOUT + Duration::from_secs(2);
        while ask(&resolver, "a").await.0 != Some(2) {
            assert!(Instant::now() < recovers);
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_refresh_holds_nobody_up() {
    let server = Server::new(Does::Answer(1));
    let resolver = resolver(&server, 10);
    ask(&resolver, "a").await;
    server.does(Does::Answer(2));
    server.delay(TIMEOUT / 2);
    advance(TTL).await;
    for _ in 0..10 {
        assert_eq!(ask(&resolver, "a").await, (Some(1), NOTHING));
    }
    // Renewals are spread over a twentieth of the TTL.
    sleep(TTL / 20 + TIMEOUT).await;
    assert_eq!(ask(&resolver, "a").await, (Some(2), NOTHING));
    assert_eq!(server.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn silent_names_leave_others_alone_and_look_ups_are_bounded() {
    let server = Server::new(Does::Answer(1));
    let resolver = resolver(&server, 100_000);
    let mut silent = JoinSet::new();
    for number in 0..LOOK_UPS / 2 {
        let resolver = resolver.clone();
        silent.spawn(async move { ask(&resolver, &format!("silent{number}")).await });
    }
    tokio::task::yield_now().await;
    assert_eq!(ask(&resolver, "good").await, (Some(1), NOTHING));
    for number in 0..10 * LOOK_UPS {
        let resolver = resolver.clone();
        silent.spawn(async move { ask(&resolver, &format!("silent{number}")).await });
    }
    while let Some(ended) = silent.join_next().await {
        assert!(ended.unwrap().1 <= TIMEOUT);
    }
    assert_eq!(server.0.most_under_way.load(Ordering::Relaxed), LOOK_UPS);
    assert_eq!(server.0.under_way.load(Ordering::Relaxed), 0);
}

/// Counts look-ups: one each time an answer expires, and no others.
#[tokio::test(start_paused = true)]
async fn hours_of_requests_cost_a_look_up_for_each_ttl() {
    let server = Server::new(Does::Answer(1));
    let resolver = resolver(&server, 10);
    let begun = Instant::now();
    while begun.elapsed() < 4 * HOUR {
        assert_eq!(ask(&resolver, "a").await, (Some(1), NOTHING));
        sleep(Duration::from_secs(1)).await;
    }
    let most = 4 * HOUR.as_secs() / TTL.as_secs() + 1;
    assert!(server.asked() as u64 <= most, "{}", server.asked());
    // Without requests, look-ups end.
    sleep(24 * HOUR).await;
    assert!(server.asked() as u64 <= most + IDLE.as_secs() / TTL.as_secs() + 1);
}

#[tokio::test(start_paused = true)]
async fn unused_names_are_forgotten() {
    let server = Server::new(Does::Answer(1));
    let resolver = resolver(&server, 10);
    for round in 0..5 {
        for number in 0..100 {
            ask(&resolver, &format!("{round}-{number}")).await;
        }
        sleep(2 * HOUR).await;
    }
    assert_eq!(resolver.names.len(), 0);
}
