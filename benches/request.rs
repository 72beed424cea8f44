//! Measures the cost of a request: processor time of the worker, for each request, compared with a bare
//! Pingora proxy ("floor"), and through an upstream of ten targets, compared with a service that has one host.
//! Load and origin run in this process, on threads of their own that are not counted. Rounds take turns.

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
use worker::{Load, Requests, bound, configuration, median, routes, run, start_gateway};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 25;
/// Targets of the upstream.
const TARGETS: u8 = 10;
const REQUEST: &[u8] =
    b"GET /bench/items/42?a=b HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
fn main() {
    let load = Load::start();
    let origin = load.origin();
    let floor = start_floor(origin);
    let gateways = [
        ("gateway-1", "1 route", start_gateway("gateway-1", routes(origin, 1))),
        ("gateway-10000", "10,000 routes", start_gateway("gateway-10000", routes(origin, 10_000))),
        ("gateway-targets", "1 route, 10 targets", start_gateway("gateway-targets", balanced(origin))),
    ];
    let requests: Requests = [REQUEST.into()].into();
    let mut costs = vec![Vec::new(); 1 + gateways.len()];
    for _ in 0..ROUNDS {
        costs[0].push(load.round("floor", floor, &requests));
        for (at, (thread, _, address)) in gateways.iter().enumerate() {
            costs[at + 1].push(load.round(thread, *address, &requests));
        }
    }
    let medians: Vec<_> = costs.iter_mut().map(|costs| median(costs)).collect();
    println!("floor: {:.1} µs a request", medians[0]);
    for ((_, what, _), cost) in gateways.iter().zip(&medians[1..]) {
        let (floor, one) = (cost / medians[0], cost / medians[1]);
        println!("gateway, {what}: {cost:.1} µs a request, {floor:.2} x floor, {one:.3} x 1 route");
    }
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
