//! The algorithms that look at no part of the request.

use std::time::Duration;

use gateway::table::Change;
use model::{Algorithm, Upstream};
use testkit::http::Client;
use testkit::origin::Answer;
use tokio::task::JoinSet;

use super::{Fleet, get, numbered, upstream};

fn by(algorithm: Algorithm) -> Upstream {
    Upstream { algorithm, ..upstream() }
}

fn share(turns: &[usize], origin: usize) -> usize {
    turns.iter().filter(|served| **served == origin).count()
}

/// One worker, as each thread has turns of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn round_robin_follows_the_weights_exactly_over_each_turn() {
    let fleet = Fleet::start(3, upstream());
    for (origin, weight) in [(0, 50), (1, 100), (2, 150)] {
        fleet.set_weight(origin, weight);
    }
    let turns = fleet.turns(24).await;
    for turn in turns.windows(6) {
        assert_eq!([0, 1, 2].map(|origin| share(turn, origin)), [1, 2, 3], "{turns:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_without_weight_gets_nothing() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections, Algorithm::Latency] {
        let fleet = Fleet::start(3, by(algorithm));
        fleet.set_weight(1, 0);
        let turns = fleet.turns(30).await;
        assert_eq!(share(&turns, 1), 0, "{algorithm:?}: {turns:?}");
        fleet.set_weight(1, 100);
        assert!(share(&fleet.turns(30).await, 1) > 0, "{algorithm:?}");
    }
}

/// Requests that no origin answers.
pub(super) struct Held(JoinSet<()>);

impl Held {
    /// Makes the origins silent, and sends requests, each when the one before has arrived.
    pub(super) async fn start(fleet: &Fleet, requests: usize) -> Self {
        fleet.origins.iter().for_each(|origin| origin.answer(Answer::hang()));
        let mut held = Self(JoinSet::new());
        held.more(fleet, requests).await;
        held
    }

    /// Sends more of them.
    pub(super) async fn more(&mut self, fleet: &Fleet, requests: usize) {
        for _ in 0..requests {
            let before: usize = fleet.counts().iter().sum();
            let client = Client::new(fleet.gateway.address()).with_deadline(Duration::from_secs(60));
            self.0.spawn(async move { drop(client.send(&get("/")).await) });
            super::arrived(fleet, before + 1).await;
        }
    }

    /// Ends all of them, and waits until the gateway has noticed.
    pub(super) async fn end(mut self, fleet: &Fleet) {
        self.0.shutdown().await;
        fleet.gateway.wait_metric("gibbon_http_requests_in_flight", 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_connections_levels_requests_in_progress_by_weight() {
    let fleet = Fleet::start(3, by(Algorithm::LeastConnections));
    let held = Held::start(&fleet, 9).await;
    assert_eq!(fleet.counts(), [3, 3, 3]);
    held.end(&fleet).await;

    let fleet = Fleet::start(3, by(Algorithm::LeastConnections));
    for (origin, weight) in [(0, 50), (1, 100), (2, 150)] {
        fleet.set_weight(origin, weight);
    }
    let held = Held::start(&fleet, 12).await;
    assert_eq!(fleet.counts(), [2, 4, 6]);
    held.end(&fleet).await;
}

/// The target with a request that takes long gets no other one while the rest is idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn least_connections_spares_a_busy_target() {
    let fleet = Fleet::start(3, by(Algorithm::LeastConnections));
    let held = Held::start(&fleet, 1).await;
    let busy = fleet.counts().iter().position(|count| *count == 1).unwrap();
    for (number, origin) in fleet.origins.iter().enumerate() {
        origin.answer(numbered(number, 200));
    }
    assert_eq!(share(&fleet.turns(30).await, busy), 0);
    held.end(&fleet).await;
    assert!(share(&fleet.turns(30).await, busy) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_spares_a_slow_target() {
    let fleet = Fleet::start(3, by(Algorithm::Latency));
    fleet.origins[1].answer(numbered(1, 200).delay(Duration::from_millis(200)));
    let turns = fleet.turns(200).await;
    assert!(share(&turns, 1) < 20, "{turns:?}");
    assert!(share(&turns, 0) > 40 && share(&turns, 2) > 40, "{turns:?}");
}

/// A change of the algorithm takes the targets as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn algorithm_can_change_under_requests() {
    let fleet = Fleet::start(3, upstream());
    for algorithm in [Algorithm::LeastConnections, Algorithm::Latency, Algorithm::RoundRobin] {
        fleet.gateway.apply(vec![Change::put(by(algorithm))]);
        assert_eq!(fleet.serving(60).await.len(), 3, "{algorithm:?}");
    }
}
