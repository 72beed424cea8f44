//! What a request costs: processor time of the whole process, beside other proxies and a proxy that is Pingora
//! and nothing else, on the same work. One proxy at a time has the first processor, load and origin have the
//! second; rounds take turns.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

#[path = "compare/load.rs"]
mod load;
#[path = "compare/peers.rs"]
mod peers;

use std::time::Duration;

use benches::samples::{Samples, number, numbers};
use benches::usage;

use load::{Body, Load, Origin};
use peers::Peer;

fn main() {
    usage::pin(std::process::id(), 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let origin = Origin::start();
    println!(
        "µs of processor time a request: median (min-max) of rounds that take turns; x the floor's median"
    );
    for routes in numbers("GIBBON_BENCH_SIZES", &[1, 10_000, 100_000]) {
        let peers = runtime.block_on(peers::start(routes, origin.address()));
        for body in [Body::Small, Body::Large] {
            println!("\n{}, at random", Work { routes, body });
            table(&measure(&peers, Work { routes, body }));
        }
    }
}

/// What is asked of every proxy.
#[derive(Clone, Copy)]
struct Work {
    routes: usize,
    body: Body,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let routes = if self.routes == 1 { "1 route".to_owned() } else { format!("{} routes", self.routes) };
        write!(f, "{routes}, answers of {}", self.body)
    }
}

/// The cost of a request with each of the proxies.
fn measure(peers: &[Peer], work: Work) -> Vec<(&Peer, Samples)> {
    let mut costs: Vec<_> = peers.iter().map(|peer| (peer, Samples::default())).collect();
    let time = Duration::from_secs(number("GIBBON_BENCH_SECONDS", 2) as u64);
    // The first is for the caches and the pools.
    for round in 0..=number("GIBBON_BENCH_ROUNDS", 7) {
        for (peer, samples) in &mut costs {
            let before = usage::cpu_us(peer.pid());
            let requests = Load { peer: peer.address(), routes: work.routes, body: work.body }.run(time);
            let cost = (usage::cpu_us(peer.pid()) - before) / requests as f64;
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
