//! The limits of requests per target, and the queue before them.

use gateway::table::Change;
use model::policy::{Limits, Policy};
use model::{Algorithm, HashInput, Upstream};
use testkit::http::{Client, Response};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::algorithms::Held;
use super::{AT_ONCE, Fleet, get, numbered, seconds, upstream};

const FULL: &str = "all targets are at their limit of requests";

fn limited(limits: Limits) -> Upstream {
    Upstream { policy: Box::new(Policy { limits, ..Policy::default() }), ..upstream() }
}

#[track_caller]
fn assert_full(response: &Response) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.json()["message"], FULL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_target_gets_more_than_its_limit() {
    use Algorithm::{ConsistentHashing, Latency, LeastConnections, RoundRobin};
    for algorithm in [RoundRobin, LeastConnections, Latency, ConsistentHashing] {
        let hash_on = if algorithm == ConsistentHashing { HashInput::Path } else { HashInput::None };
        let limits = Limits { max_requests: 2, ..Limits::default() };
        let fleet = Fleet::start(3, Upstream { algorithm, hash_on, ..limited(limits) });
        let held = Held::start(&fleet, 6).await;
        assert_eq!(fleet.counts(), [2; 3], "{algorithm:?}");
        let begun = Instant::now();
        assert_full(&fleet.get().await);
        assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
        fleet.gateway.wait_metric("gibbon_http_errors_total{reason=\"upstream_full\"}", 1.0).await;
        for (number, origin) in fleet.origins.iter().enumerate() {
            origin.answer(numbered(number, 200));
        }
        held.end(&fleet).await;
        assert_eq!(fleet.turns(6).await.len(), 6, "a place was lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_in_the_queue_gets_the_next_place() {
    let queue = |queue_timeout| {
        limited(Limits { max_requests: 1, max_queue: 1, queue_timeout: seconds(queue_timeout) })
    };
    let fleet = Fleet::start(1, queue(60.0));
    let held = Held::start(&fleet, 1).await;
    fleet.origins[0].answer(numbered(0, 200));
    let mut waiting = JoinSet::new();
    for _ in 0..2 {
        let client = Client::new(fleet.gateway.address());
        waiting.spawn(async move { client.send(&get("/")).await.unwrap() });
    }
    // One waits, and the other is one too many.
    assert_full(&waiting.join_next().await.unwrap().unwrap());
    assert_eq!(fleet.counts(), [1]);
    drop(held);
    waiting.join_next().await.unwrap().unwrap().expect(200);

    // None waits for longer than the policy says.
    fleet.gateway.apply(vec![Change::put(queue(0.2))]);
    let held = Held::start(&fleet, 1).await;
    let begun = Instant::now();
    assert_full(&fleet.get().await);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(190), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    held.end(&fleet).await;
}

/// A client that leaves the queue gives its place to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_leaves_frees_its_place_in_the_queue() {
    let limits = Limits { max_requests: 1, max_queue: 1, queue_timeout: seconds(60.0) };
    let fleet = Fleet::start(1, limited(limits));
    let held = Held::start(&fleet, 1).await;
    for _ in 0..5 {
        let mut connection = testkit::http::Connection::open(fleet.gateway.address()).await.unwrap();
        connection.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        fleet.gateway.wait_metric("gibbon_http_requests_in_flight", 2.0).await;
        drop(connection);
        fleet.gateway.wait_metric("gibbon_http_requests_in_flight", 1.0).await;
    }
    fleet.origins[0].answer(numbered(0, 200));
    let client = Client::new(fleet.gateway.address());
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { client.send(&get("/")).await.unwrap() });
    fleet.gateway.wait_metric("gibbon_http_requests_in_flight", 2.0).await;
    drop(held);
    waiting.join_next().await.unwrap().unwrap().expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raised_limit_counts_for_requests_in_progress() {
    let limits = |max_requests| limited(Limits { max_requests, ..Limits::default() });
    let fleet = Fleet::start(1, limits(1));
    let held = Held::start(&fleet, 1).await;
    assert_full(&fleet.get().await);
    fleet.gateway.apply(vec![Change::put(limits(2))]);
    fleet.origins[0].answer(numbered(0, 200));
    fleet.get().await.expect(200);
    fleet.gateway.apply(vec![Change::put(limits(1))]);
    assert_full(&fleet.get().await);
    held.end(&fleet).await;
    fleet.get().await.expect(200);
}
