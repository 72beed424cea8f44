//! Targets that are drained or in maintenance: nothing new after the push, and what runs ends by itself.

use std::time::Duration;

use gateway::table::Change;
use model::{AdminState, Algorithm, Target, TargetState, Upstream};
use testkit::http::{Connection, Response};
use testkit::origin::Answer;
use tokio::task::JoinSet;

use super::{Fleet, get, number, numbered, target_id, upstream};

/// What takes a target out.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Drain,
    Maint,
    WithoutWeight,
    Remove,
}

const LEAVES: [Leave; 4] = [Leave::Drain, Leave::Maint, Leave::WithoutWeight, Leave::Remove];

fn leave(fleet: &Fleet, origin: usize, how: Leave) {
    let id = origin as u128;
    match how {
        Leave::Drain => fleet.set_state(id, AdminState::Drain),
        Leave::Maint => fleet.set_state(id, AdminState::Maint),
        Leave::WithoutWeight => fleet.set_weight(id, 0),
        Leave::Remove => fleet.gateway.apply(vec![Change::remove(Target::key(target_id(id)))]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_that_leaves_gets_nothing_after_the_push() {
    for how in LEAVES {
        let fleet = Fleet::start(3, upstream());
        assert_eq!(fleet.serving(12).await.len(), 3);
        leave(&fleet, 1, how);
        assert_eq!(fleet.serving(30).await, [0, 2].into(), "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn download_ends_by_itself() {
    for how in LEAVES {
        let fleet = Fleet::start(2, Upstream { algorithm: Algorithm::LeastConnections, ..upstream() });
        for (number, origin) in fleet.origins.iter().enumerate() {
            origin.answer(numbered(number, 200).size(20).slow(1, Duration::from_millis(40)));
        }
        let mut running = JoinSet::new();
        for _ in 0..2 {
            let before: usize = fleet.counts().iter().sum();
            let client = testkit::http::Client::new(fleet.gateway.address());
            running.spawn(async move { client.send(&get("/")).await.unwrap() });
            super::arrived(&fleet, before + 1).await;
        }
        assert_eq!(fleet.counts(), [1, 1]);
        fleet.origins.iter().enumerate().for_each(|(number, origin)| origin.answer(numbered(number, 200)));
        leave(&fleet, 0, how);
        assert_eq!(fleet.serving(10).await, [1].into(), "{how:?}");
        assert!(running.try_join_next().is_none(), "the downloads were too short for the test");
        let ended: Vec<Response> = running.join_all().await;
        let mut by: Vec<_> = ended.iter().map(number).collect();
        by.sort_unstable();
        assert_eq!(by, [0, 1], "{how:?}");
        assert!(ended.iter().all(|response| response.body.len() == 20), "{how:?}");
    }
}

/// A connection that has changed its protocol, to the origin with this number.
async fn tunnel(fleet: &Fleet, origin: usize) -> Connection {
    loop {
        let mut connection = Connection::open(fleet.gateway.address()).await.unwrap();
        let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        connection.write(upgrade.as_bytes()).await.unwrap();
        let response = connection.read_response(false).await.unwrap().expect(101);
        if number(&response) == origin {
            return connection;
        }
    }
}

async fn assert_echoes(connection: &mut Connection, why: &str) {
    connection.write(b"hello").await.unwrap();
    let echoed = tokio::time::timeout(super::SOON, connection.read_exact(5)).await;
    assert_eq!(echoed.unwrap_or_else(|_| panic!("{why}: no echo")).unwrap(), "hello", "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_goes_on_until_it_ends() {
    for how in LEAVES {
        let why = format!("{how:?}");
        let fleet = Fleet::start(2, upstream());
        for (number, origin) in fleet.origins.iter().enumerate() {
            origin.answer(Answer::upgrade("websocket").header(super::TARGET, &number.to_string()));
        }
        let mut running = tunnel(&fleet, 0).await;
        assert_echoes(&mut running, &why).await;
        leave(&fleet, 0, how);
        for _ in 0..4 {
            assert_echoes(&mut tunnel(&fleet, 1).await, &why).await;
            assert_echoes(&mut running, &why).await;
        }
        // Later changes do not end it either.
        fleet.set_weight(1, 7);
        fleet.gateway.apply(super::unrelated(1));
        assert_echoes(&mut running, &why).await;
        drop(running);
        fleet.gateway.wait_metric("gibbon_http_requests_in_flight", 0.0).await;
    }
}

/// The data plane ends the state by itself, even without its control plane.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_ends_at_its_time() {
    for state in [AdminState::Drain, AdminState::Maint] {
        let fleet = Fleet::start(2, upstream());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let until = Some(now.as_secs() as i64 + 2);
        let id = target_id(0);
        fleet.gateway.apply(vec![Change::put(TargetState { id, target: id, state, until })]);
        assert_eq!(fleet.serving(10).await, [1].into(), "{state:?}");
        let back = async { while fleet.served(&get("/")).await != 0 {} };
        tokio::time::timeout(super::SOON, back).await.unwrap();
    }
}
