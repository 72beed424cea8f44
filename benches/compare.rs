//! Measures the cost of a request: processor time of the whole process, for Gibbon, other proxies and a bare
//! Pingora proxy, on the same work. One proxy at a time has the first processor; load and origin have the
//! second. Rounds take turns. Last, what plugins add to a request through Gibbon.

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
#[path = "compare/plugins.rs"]
mod plugins;

use std::time::Duration;

use benches::samples::{Samples, number, numbers};
use benches::usage;

use client::Protocol;
use identity::Identity;
use load::{BODIES, Body, Load, Origin};

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
                let work = Work { routes, protocol, body, guarded: None };
                println!("\n{work}");
                let load = |peer| Load { peer, identity: &identity, work };
                let loads: Vec<_> = peers.iter().map(|peer| (peer.name(), load(peer))).collect();
                table(&measure(&loads));
            }
        }
        runtime.block_on(peers::stop(peers));
    }
    let peer = runtime.block_on(peers::guarded(origin.address(), &identity));
    println!("\nHTTP/1.1, key-auth and rate-limiting, {} consumers at random", plugins::CONSUMERS);
    let load = |name| (name, Load { peer: &peer, identity: &identity, work: Work::guarded(name) });
    let costs = measure(&plugins::ROUTES.map(load));
    table(&costs);
    // Of each round: the machine is faster at times.
    println!("  added        {:7.2}", costs[1].1.beyond(&costs[0].1).at(0.5));
    runtime.block_on(peers::stop(vec![peer]));
}

/// The work of a proxy.
#[derive(Clone, Copy)]
struct Work {
    routes: usize,
    protocol: Protocol,
    body: Body,
    /// The route of requests that have the API keys of consumers.
    guarded: Option<&'static str>,
}

impl Work {
    /// Small requests of consumers for this route.
    fn guarded(route: &'static str) -> Self {
        Self { routes: 1, protocol: Protocol::Http, body: Body::Small, guarded: Some(route) }
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { routes, protocol, body, .. } = self;
        let routes = if *routes == 1 { "1 route" } else { &format!("{routes} routes at random") };
        write!(f, "{protocol}, {routes}, {body}")
    }
}

/// Measures the cost of a request of each load.
fn measure(loads: &[(&'static str, Load<'_>)]) -> Vec<(&'static str, Samples)> {
    let mut costs: Vec<_> = loads.iter().map(|(name, _)| (*name, Samples::default())).collect();
    let time = Duration::from_secs(number("GIBBON_BENCH_SECONDS", 2) as u64);
    // The first round warms up the caches and the pools.
    for round in 0..=number("GIBBON_BENCH_ROUNDS", 7) {
        for ((_, samples), (_, load)) in costs.iter_mut().zip(loads) {
            let cost = load.run(time);
            if round > 0 {
                samples.push(cost);
            }
        }
    }
    costs
}

fn table(costs: &[(&str, Samples)]) {
    let floor = costs.iter().find(|(name, _)| *name == peers::FLOOR).map(|(_, samples)| samples.at(0.5));
    for (name, samples) in costs {
        let (median, least, most) = (samples.at(0.5), samples.at(0.0), samples.at(1.0));
        let ratio = floor.map(|floor| format!("{:5.2} x", median / floor)).unwrap_or_default();
        println!("  {name:12} {median:7.1} ({least:.1}-{most:.1}) {ratio}");
    }
}
