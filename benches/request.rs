//! Measures the cost of a request: processor time of the worker, for each request, compared with a bare
//! Pingora proxy ("floor"); with many routes at random and through an upstream of ten targets, compared with one
//! route to one host. Load and origin run in this process, on threads of their own that are not counted. Rounds
//! take turns, and what is compared is of one round: the machine is faster at times.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

#[path = "support/worker.rs"]
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use gateway::app;
use gateway::draining::Draining;
use gateway::table::Change;
use model::{Service, Target, Upstream};
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::upstreams::peer::HttpPeer;
use uuid::Uuid;
use worker::{Load, Requests, bound, configuration, median, path, routes, run, start_gateway};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 25;
/// Targets of the upstream.
const TARGETS: u8 = 10;
/// Routes of the larger configurations.
const MANY: [u128; 2] = [10_000, 100_000];

/// What is measured: its thread, what it is, where it listens, and what it is asked for.
type Way = (&'static str, &'static str, SocketAddr, Requests);

fn main() {
    let load = Load::start();
    let origin = load.origin();
    let gateway =
        |thread, what, changes, routes| (thread, what, start_gateway(thread, changes), at_random(routes));
    let ways: [Way; 5] = [
        ("floor", "bare Pingora", start_floor(origin), at_random(1)),
        gateway("gateway-1", "1 route", routes(origin, 1), 1),
        gateway("gateway-10000", "10,000 routes", routes(origin, MANY[0]), MANY[0]),
        gateway("gateway-100000", "100,000 routes", routes(origin, MANY[1]), MANY[1]),
        gateway("gateway-targets", "1 route, 10 targets", balanced(origin), 1),
    ];
    let mut costs = ways.each_ref().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (costs, (thread, _, address, requests)) in costs.iter_mut().zip(&ways) {
            costs.push(load.round(thread, *address, *requests));
        }
    }
    println!("µs a request          median    min    max  x floor  x 1 route");
    let [floor, one, ..] = costs.clone();
    for ((_, what, ..), mut costs) in ways.iter().zip(costs) {
        let beside = |others: &[f64]| {
            let mut ratios: Vec<_> = costs.iter().zip(others).map(|(cost, other)| cost / other).collect();
            median(&mut ratios)
        };
        let (beside_floor, beside_one) = (beside(&floor), beside(&one));
        let (median, min, max) = (median(&mut costs), costs[0], costs[costs.len() - 1]);
        println!("{what:20} {median:7.2} {min:6.2} {max:6.2} {beside_floor:8.3} {beside_one:10.3}");
    }
}

/// A request for each route.
fn at_random(routes: u128) -> Requests {
    Requests { count: routes, text: request }
}

fn request(number: u128) -> String {
    format!(
        "GET {}/items/42?a=b HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n",
        path(number)
    )
}

/// Pingora with one upstream and nothing around it.
struct Floor(SocketAddr);

#[async_trait]
impl ProxyHttp for Floor {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

fn start_floor(origin: SocketAddr) -> SocketAddr {
    let bound = bound();
    let address = bound.addresses()[0];
    let conf = Arc::new(app::server_conf(1));
    run("floor", bound.serve("floor", http_proxy(&conf, Floor(origin)), Draining::new()));
    address
}

/// One route to an upstream, whose targets are addresses of the origin.
fn balanced(origin: SocketAddr) -> Vec<Change> {
    let service = Service { id: Uuid::from_u128(1), host: "upstream".into(), ..Service::default() };
    let upstream = Upstream { id: Uuid::from_u128(2), name: "upstream".into(), ..Upstream::default() };
    let target = |number: u8| Target {
        id: Uuid::from_u128(0xC000 + u128::from(number)),
        upstream: upstream.id,
        target: format!("127.0.0.{number}:{}", origin.port()),
        ..Target::default()
    };
    let targets: Vec<_> = (1..=TARGETS).map(|number| Change::put(target(number))).collect();
    let mut changes = configuration(service, 1);
    changes.push(Change::put(upstream));
    changes.extend(targets);
    changes
}
