//! Requests to upstreams: which target gets each of them, and what becomes of it when targets fail, leave or
//! come back.
//!
//! Each thread of a gateway takes the targets in turns of its own. Two threads make sure that a few requests reach
//! all of them.

mod affinity;
mod algorithms;
mod changes;
mod draining;
mod health;
mod hosts;
mod limits;
mod name_server;
mod names;
mod retries;
mod secured;
mod sessions;
mod unavailable;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::table::Change;
use model::healthchecks::{Healthchecks, PassiveChecks, PassiveUnhealthy};
use model::{AdminState, Number, Route, Service, Target, TargetState, Upstream};
use testkit::http::{Request, Response};
use testkit::origin::{Answer, Origin};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::support::{Gateway, route};

const UPSTREAM: Uuid = Uuid::from_u128(0x700);
const NAME: &str = "backend.test";
/// The time within which a change must have shown, on a busy machine.
const SOON: Duration = Duration::from_secs(10);
/// The time within which an answer that waits for nothing must be there, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The field by which an origin tells its number.
const TARGET: &str = "X-Target";

/// A gateway with one upstream and its targets, the origins.
struct Fleet {
    gateway: Gateway,
    origins: Vec<Origin>,
}

impl Fleet {
    /// Starts an upstream of so many targets of equal weight.
    fn start(origins: usize, upstream: Upstream) -> Self {
        Self::serve(Gateway::start(), origins, upstream, service())
    }

    /// Starts the same with a service of its own.
    fn of_service(origins: usize, upstream: Upstream, service: Service) -> Self {
        Self::serve(Gateway::start(), origins, upstream, service)
    }

    fn serve(gateway: Gateway, origins: usize, upstream: Upstream, service: Service) -> Self {
        let origins: Vec<_> = (0..origins).map(origin).collect();
        let mut changes = vec![Change::put(upstream)];
        changes.extend((0..).zip(&origins).map(|(id, origin)| Change::put(target(id, origin.address()))));
        gateway.apply(changes);
        gateway.serve(service, route(1, "/"));
        Self { gateway, origins }
    }

    /// Sends a request that must succeed, and returns the number of the origin that answered.
    async fn served(&self, request: &Request) -> usize {
        number(&self.send(request).await.expect(200))
    }

    async fn send(&self, request: &Request) -> Response {
        self.gateway.client.send(request).await.unwrap()
    }

    async fn get(&self) -> Response {
        self.gateway.get("/").await
    }

    /// Sends so many requests one after the other, and returns the numbers of the origins that answered.
    async fn turns(&self, requests: usize) -> Vec<usize> {
        let mut turns = Vec::new();
        for _ in 0..requests {
            turns.push(self.served(&get("/")).await);
        }
        turns
    }

    /// The origins that answer, of so many requests.
    async fn serving(&self, requests: usize) -> BTreeSet<usize> {
        self.turns(requests).await.into_iter().collect()
    }

    /// The requests that each origin has received.
    fn counts(&self) -> Vec<usize> {
        self.origins.iter().map(Origin::count).collect()
    }

    fn set_weight(&self, origin: u128, weight: u16) {
        let address = self.origins[origin as usize].address();
        self.gateway.apply(vec![Change::put(Target { weight, ..target(origin, address) })]);
    }

    fn set_state(&self, origin: u128, state: AdminState) {
        let id = target_id(origin);
        self.gateway.apply(vec![Change::put(TargetState { id, target: id, state, until: None })]);
    }
}

/// Waits until so many requests have arrived at the origins.
async fn arrived(fleet: &Fleet, requests: usize) {
    let is_there = || fleet.counts().iter().sum::<usize>() >= requests;
    testkit::wait::until(SOON, "a request arrives", is_there).await;
}

/// An origin that tells its number.
fn origin(number: usize) -> Origin {
    let origin = Origin::start();
    origin.answer(numbered(number, 200));
    origin
}

/// An answer with the number of its origin.
fn numbered(number: usize, status: u16) -> Answer {
    Answer::status(status).header(TARGET, &number.to_string())
}

/// The number of the origin that answered.
#[track_caller]
fn number(response: &Response) -> usize {
    response.header(TARGET).unwrap_or_else(|| panic!("no origin answered: {response:?}")).parse().unwrap()
}

fn get(path: &str) -> Request {
    Request::new("GET", path)
}

fn post() -> Request {
    Request::new("POST", "/").body("a body")
}

fn upstream() -> Upstream {
    Upstream { id: UPSTREAM, name: NAME.into(), ..Upstream::default() }
}

fn target_id(id: u128) -> Uuid {
    Uuid::from_u128(0x800 + id)
}

fn target(id: u128, address: SocketAddr) -> Target {
    named_target(id, &address.to_string())
}

fn named_target(id: u128, text: &str) -> Target {
    Target { id: target_id(id), upstream: UPSTREAM, target: text.into(), weight: 100, ..Target::default() }
}

/// A service whose host is the upstream.
fn service() -> Service {
    Service { id: Uuid::from_u128(1), host: NAME.into(), ..Service::default() }
}

fn seconds(seconds: f64) -> Number {
    Number::new(seconds)
}

/// An upstream on which so many failures of requests in a row make a target unhealthy.
fn passive(limits: PassiveUnhealthy) -> Upstream {
    let passive = PassiveChecks { unhealthy: limits, ..PassiveChecks::default() };
    let healthchecks = Healthchecks { passive, ..Healthchecks::default() };
    Upstream { healthchecks: Box::new(healthchecks), ..upstream() }
}

/// One failed connection makes a target unhealthy, and nothing makes it healthy.
fn strict() -> Upstream {
    passive(PassiveUnhealthy { tcp_failures: 1, ..PassiveUnhealthy::default() })
}

/// Another service, another route, an upstream and a target that have nothing to do with the first ones.
fn unrelated(id: u128) -> Vec<Change> {
    let other = Upstream { id: Uuid::from_u128(0x900 + id), name: format!("other{id}.test"), ..upstream() };
    let of_other = Target { upstream: other.id, ..named_target(0x100 + id, "127.0.0.1") };
    let service = Service { id: Uuid::from_u128(0xa00 + id), host: other.name.clone(), ..Service::default() };
    let route = Route { service: Some(service.id), ..route(0x100 + id, &format!("/other/{id}")) };
    vec![Change::put(other), Change::put(of_other), Change::put(service), Change::put(route)]
}

/// Clients that send one request after the other, until they are stopped.
struct Load {
    stop: tokio_util::sync::CancellationToken,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    /// Starts clients that count their successful requests in `done`.
    fn start(clients: usize, address: SocketAddr, done: &std::sync::Arc<AtomicUsize>) -> Self {
        let stop = tokio_util::sync::CancellationToken::new();
        let mut running = JoinSet::new();
        for client in 0..clients {
            let (stop, done) = (stop.clone(), done.clone());
            running.spawn(async move {
                let (client_of, mut failed) = (testkit::http::Client::new(address), Vec::new());
                for turn in 0.. {
                    if stop.is_cancelled() {
                        break;
                    }
                    let request = get("/").header("X-Key", &format!("{client} {turn}"));
                    match client_of.send(&request).await {
                        Ok(response) if response.status == 200 => {
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(response) => failed.push(format!("{} {}", response.status, response.text())),
                        Err(error) => failed.push(format!("{error:#}")),
                    }
                }
                failed
            });
        }
        Self { stop, clients: running }
    }

    /// Stops the clients, and returns what failed.
    async fn stop(self) -> Vec<String> {
        self.stop.cancel();
        self.clients.join_all().await.concat()
    }
}
