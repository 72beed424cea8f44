//! Measures the cost of a request: processor time of the whole process, for Gibbon, other proxies and a bare
//! Pingora proxy, on the same work. One proxy at a time has the first processor; load and origin have the
//! second. Rounds take turns.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

#[path = "compare/client.rs"]
mod client;
#[path = "compare/identity.rs"]
mod identity;
#[path = "compare/load.rs"]
mod load;
#[path = "compare/peers.rs"]
mod peers;

use std::time::Duration;

use benches::samples::{Samples, number, numbers};
use benches::usage;

use client::Protocol;
use identity::Identity;
use load::{BODIES, Body, Load, Origin};
use peers::Peer;

fn main() {
    usage::pin(std::process::id(), 1);
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (origin, identity) = (Origin::start(), Identity::new());
    println!(
        "µs of processor time a request: median (min-max) of rounds that take turns; x the floor's median"
    );
    for routes in numbers("GIBBON_BENCH_SIZES", &[1, 1_000, 10_000, 100_000]) {
        let peers = runtime.block_on(peers::start(routes, origin.address(), &identity));
        // The cost of the other protocols does not depend on the routes.
        let protocols = [Protocol::Http, Protocol::Https, Protocol::Http2];
        for protocol in protocols.into_iter().take(if routes == 1 { 3 } else { 1 }) {
            for body in BODIES {
                let work = Work { routes, protocol, body };
                println!("\n{work}");
                table(&measure(&peers, &identity, work));
            }
        }
        runtime.block_on(peers::stop(peers));
    }
}

/// The work that every proxy does.
#[derive(Clone, Copy)]
struct Work {
    routes: usize,
    protocol: Protocol,
    body: Body,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { routes, protocol, body } = self;
        let routes = if *routes == 1 { "1 route" } else { &format!("{routes} routes at random") };
        write!(f, "{protocol}, {routes}, {body}")
    }
}

/// Measures the cost of a request with each of the proxies.
fn measure<'p>(peers: &'p [Peer], identity: &Identity, work: Work) -> Vec<(&'p Peer, Samples)> {
    let mut costs: Vec<_> = peers.iter().map(|peer| (peer, Samples::default())).collect();
    let time = Duration::from_secs(number("GIBBON_BENCH_SECONDS", 2) as u64);
    // The first round warms up the caches and the pools.
    for round in 0..=number("GIBBON_BENCH_ROUNDS", 7) {
        for (peer, samples) in &mut costs {
            let cost = Load { peer, identity, work }.run(time);
            if round > 0 {
                samples.push(cost);
            }
        }
    }
    costs
}

fn table(costs: &[(&Peer, Samples)]) {
    let floor =
        costs.iter().find(|(peer, _)| peer.name() == peers::FLOOR).map(|(_, samples)| samples.at(0.5));
    for (peer, samples) in costs {
        let (median, least, most) = (samples.at(0.5), samples.at(0.0), samples.at(1.0));
        let ratio = floor.map(|floor| format!("{:5.2} x", median / floor)).unwrap_or_default();
        println!("  {:12} {median:7.1} ({least:.1}-{most:.1}) {ratio}", peer.name());
    }
}
