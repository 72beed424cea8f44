//! Measures what plugins add to a request: processor time of the worker, beside the same route without. 100,000
//! consumers with an API key each send requests in turn. Rounds take turns.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

#[path = "support/worker.rs"]
mod worker;

use std::env;
use std::net::SocketAddr;

use gateway::table::Change;
use model::plugins::{self, Config};
use model::{Acl, Consumer, HashKey, KeyAuthCredential, KeyHasher, Number, Plugin};
use uuid::Uuid;
use worker::{Load, Requests, median, routes, start_gateway};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONSUMERS: u128 = 100_000;
const ROUNDS: usize = 25;

/// What is measured: a name of at most 15 characters, which its thread gets, and the plugins.
type Way = (&'static str, Vec<Config>);

fn ways() -> Vec<Way> {
    let key_auth = || Config::KeyAuth(Box::default());
    let limit = || {
        let hour = Some(Number::whole(1_000_000_000));
        Config::RateLimiting(Box::new(plugins::RateLimiting { hour, ..Default::default() }))
    };
    let group = || {
        let allow = Some(vec!["group".to_owned()]);
        Config::Acl(Box::new(plugins::Acl { allow, ..Default::default() }))
    };
    let range = || {
        let allow = vec!["127.0.0.0/8".to_owned()];
        Config::IpRestriction(Box::new(plugins::IpRestriction { allow: Some(allow), ..Default::default() }))
    };
    let prometheus = || {
        let (status_code_metrics, latency_metrics) = (true, true);
        let config = plugins::Prometheus { status_code_metrics, latency_metrics, ..Default::default() };
        Config::Prometheus(Box::new(config))
    };
    vec![
        ("none", vec![]),
        ("none again", vec![]),
        ("key-auth, limit", vec![key_auth(), limit()]),
        ("key-auth", vec![key_auth()]),
        ("rate-limiting", vec![limit()]),
        ("key-auth, acl", vec![key_auth(), group()]),
        ("ip-restriction", vec![range()]),
        ("cors", vec![Config::Cors(Box::default())]),
        ("correlation-id", vec![Config::CorrelationId(Box::default())]),
        ("size-limiting", vec![Config::RequestSizeLimiting(Box::default())]),
        ("bot-detection", vec![Config::BotDetection(Box::default())]),
        ("prometheus", vec![prometheus()]),
    ]
}

fn main() {
    let (key, load) = (HashKey::of_bytes(&[7; 32]), Load::start());
    let origin = load.origin();
    let hasher = KeyHasher::new(&key).unwrap();
    let requests = Requests { count: CONSUMERS, text: request };
    // Those that an argument names, beside none; else all.
    let named: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted =
        |name: &str| named.is_empty() || name == "none" || named.iter().any(|other| other == name);
    let ways = ways().into_iter().filter(|way| is_wanted(way.0));
    let gateways: Vec<_> = ways.map(|way| (way.0, start(origin, &key, &hasher, way))).collect();
    let mut costs = vec![Vec::new(); gateways.len()];
    for _ in 0..ROUNDS {
        for (costs, (thread, address)) in costs.iter_mut().zip(&gateways) {
            costs.push(load.round(thread, *address, requests));
        }
    }
    println!("µs a request     median    min    max  beside none");
    let none = costs[0].clone();
    for ((name, _), mut costs) in gateways.iter().zip(costs) {
        // Of each round: the machine is faster at times.
        let mut beside: Vec<_> = costs.iter().zip(&none).map(|(cost, none)| cost - none).collect();
        let (median, beside) = (median(&mut costs), median(&mut beside));
        let (min, max) = (costs[0], costs[costs.len() - 1]);
        println!("{name:15} {median:8.2} {min:6.2} {max:6.2} {beside:12.2}");
    }
}

fn start(origin: SocketAddr, key: &HashKey, hasher: &KeyHasher, (name, plugins): Way) -> SocketAddr {
    let mut all = routes(origin, 1);
    let needs_consumers = plugins.iter().any(|plugin| matches!(plugin, Config::KeyAuth(_)));
    if needs_consumers {
        all.push(Change::put(key.clone()));
        for number in 0..CONSUMERS {
            all.extend(consumer(hasher, number));
        }
    }
    all.extend(plugins.into_iter().zip(0..).map(|(config, number)| {
        let (id, name) = (Uuid::from_u128(0xD000 + number), config.name().to_owned());
        Change::put(Plugin { id, name, config, ..Plugin::default() })
    }));
    start_gateway(name, all)
}

fn consumer(hasher: &KeyHasher, number: u128) -> [Change; 3] {
    let [id, of_key, of_group] = [1, 2, 3].map(|kind| Uuid::from_u128(kind << 64 | number));
    let username = Some(format!("consumer-{number:06}"));
    let hashed = KeyAuthCredential::of_key(hasher, api_key(number).as_bytes());
    [
        Change::put(Consumer { id, username, ..Consumer::default() }),
        Change::put(KeyAuthCredential { id: of_key, consumer: id, ..hashed }),
        Change::put(Acl { id: of_group, consumer: id, group: "group".into() }),
    ]
}

fn api_key(number: u128) -> String {
    format!("key-of-a-consumer-{number:014}")
}

fn request(number: u128) -> String {
    let key = api_key(number);
    format!(
        "GET /bench/items/42?a=b HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\
         apikey: {key}\r\n\r\n"
    )
}
