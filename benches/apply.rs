//! Measures how a data plane applies one change: decode, hash, check, compile, compare the root, swap. Also
//! counts the allocations of that and of a lookup.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::hint::black_box;
use std::sync::Arc;

use benches::publisher::{Published, Publisher, published};
use benches::samples::{HEADING, Samples, numbers};
use benches::stage::{host, path, route_id};
use gateway::cluster::Applier;
use gateway::live::Live;
use gateway::route::Request;
use http::{HeaderMap, Method};
use model::{CaCertificate, Certificate, Protocol, Route, Service, Sni};
use tokio::time::Instant;
use uuid::Uuid;
use wire::Mode;

const CHANGES: usize = 2000;
/// The certificates, each with a server name, and the services with TLS.
const CERTIFICATES: usize = 10_000;
/// The services without.
const SERVICES: usize = 100_000;
/// Different certificates: to make one takes longer than to apply it.
const PAIRS: usize = 64;

fn main() {
    node::install_tls_provider();
    println!("one changed entity, {CHANGES} times, in microseconds; goal: 100 at 100,000 routes");
    println!("{:46}{HEADING}  allocations", "");
    for routes in numbers("GIBBON_BENCH_SIZES", &[10, 1_000, 100_000]) {
        let all = (0..routes).map(|number| route(number, 80)).chain([service(0, 80)]).collect();
        let live = measure(&format!("route, of {routes}"), all, |n| route(n * 7919 % routes, n as i32));
        println!("{:46}{} allocations in 1,000 lookups", "", lookup_allocations(&live, routes));
    }
    let services = (0..SERVICES).map(|number| service(number, 80)).collect();
    measure(&format!("service, of {SERVICES}"), services, |n| service(n * 7919 % SERVICES, n as u16));

    let pairs = pairs();
    let certificates = (0..CERTIFICATES).flat_map(|number| [certificate(number, &pairs[0]), sni(number)]);
    let name = format!("certificate, of {CERTIFICATES} with a server name each");
    measure(&name, certificates.collect(), |n| certificate(n * 7919 % CERTIFICATES, &pairs[(n + 1) % PAIRS]));
    let services = (0..CERTIFICATES).map(|number| tls_service(number, usize::from(number == 77)));
    let authorities = [0, 1].map(|number| authority(number, &pairs[0]));
    let name = format!("CA certificate of 1 of {CERTIFICATES} services");
    measure(&name, services.chain(authorities).collect(), |n| authority(1, &pairs[(n + 1) % PAIRS]));
}

/// Applies a snapshot of `all`, and then the changes one by one. Each is at another place of the table, so that
/// the caches are as cold as the table's size makes them.
fn measure(name: &str, all: Vec<Published>, change: impl Fn(usize) -> Published) -> Arc<Live> {
    let live = Arc::new(Live::new());
    let mut applier = Applier::new(Arc::clone(&live), Arc::default());
    let mut publisher = Publisher::new();
    applier.apply(&publisher.update(Mode::Snapshot, &all)).unwrap();

    let (mut times, mut allocations) = (Samples::default(), Samples::default());
    for n in 0..CHANGES {
        let update = publisher.update(Mode::Delta, &[change(n)]);
        let begun = Instant::now();
        let counted = allocation_counter::measure(|| assert!(applier.apply(black_box(&update)).is_ok()));
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        allocations.push(counted.count_total as f64);
    }
    println!("{name:46}{times}  {:.0}", allocations.at(0.5));
    live
}

/// The id number `number` of a kind.
fn id(kind: u128, number: usize) -> Uuid {
    Uuid::from_u128(kind << 64 | number as u128)
}

fn route(number: usize, priority: i32) -> Published {
    let route = Route {
        service: Some(id(1, 0)),
        hosts: Some(vec![host(number)]),
        paths: Some(vec![path(number)]),
        methods: Some(vec!["GET".into(), "POST".into()]),
        regex_priority: priority,
        ..Route::default()
    };
    published(route_id(number), route)
}

fn service(number: usize, port: u16) -> Published {
    published(id(1, number), Service { host: "10.0.0.1".into(), port, ..Service::default() })
}

fn tls_service(number: usize, authority: usize) -> Published {
    let service = Service {
        host: "upstream.example.com".into(),
        protocol: Protocol::Https,
        tls_verify: Some(true),
        ca_certificates: Some(vec![id(5, authority)]),
        ..Service::default()
    };
    published(id(1, number), service)
}

fn certificate(number: usize, [cert, key]: &[String; 2]) -> Published {
    let (cert, key) = (cert.clone(), key.as_str().into());
    published(id(3, number), Certificate { cert, key, ..Certificate::default() })
}

fn authority(number: usize, [cert, _]: &[String; 2]) -> Published {
    published(id(5, number), CaCertificate { cert: cert.clone(), ..CaCertificate::default() })
}

fn sni(number: usize) -> Published {
    let (name, certificate) = (format!("tenant-{number}.example.com"), id(3, number));
    published(id(4, number), Sni { name, certificate, ..Sni::default() })
}

/// Certificates and their keys in PEM, on the curve P-256. To check an RSA key of 2,048 bits takes 0.35 ms more.
fn pairs() -> Vec<[String; 2]> {
    let pair = || {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["upstream.example.com".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        [params.self_signed(&key).unwrap().pem(), key.serialize_pem()]
    };
    std::iter::repeat_with(pair).take(PAIRS).collect()
}

/// Allocations of a thousand lookups by host, path and method together.
fn lookup_allocations(live: &Live, routes: usize) -> u64 {
    let headers = HeaderMap::new();
    let places: Vec<_> = (0..1000).map(|n| n * 7919 % routes).map(|n| (host(n), path(n) + "/42")).collect();
    let counted = allocation_counter::measure(|| {
        for (host, path) in &places {
            let request =
                Request { method: &Method::GET, host, port: 80, path, headers: &headers, sni: None };
            assert!(live.load().as_ref().unwrap().lookup(black_box(&request)).is_some());
        }
    });
    counted.count_total
}
