//! Measures the cost of a request: processor time of the worker, for each request, compared with a bare
//! Pingora proxy ("floor"), and through an upstream of ten targets, compared with a service that has one host.
//! Load and origin run in this process, on threads of their own that are not counted. Rounds take turns.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use gateway::app::{self, ProxyParts};
use gateway::config::Config;
use gateway::draining::Draining;
use gateway::listener::Bound;
use gateway::metrics::Metrics;
use gateway::table::{Builder, Change};
use model::{Route, Service, Target, Upstream};
use pingora::apps::ServerApp;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::services::Service as _;
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 7;
/// Targets of the upstream.
const TARGETS: u8 = 10;
/// The unit of `utime` and `stime` in `/proc`, on every Linux that runs this.
const TICKS_PER_SECOND: f64 = 100.0;

const REQUEST: &[u8] =
    b"GET /bench/items/42?a=b HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
const HEADER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\nContent-Type: text/plain\r\n\r\n";

fn main() {
    let origin = start_origin();
    let floor = start_floor(origin);
    let gateways = [
        ("gateway-1", "1 route", start_gateway("gateway-1", routes(origin, 1))),
        ("gateway-10000", "10,000 routes", start_gateway("gateway-10000", routes(origin, 10_000))),
        ("gateway-targets", "1 route, 10 targets", start_gateway("gateway-targets", balanced(origin))),
    ];
    let load = runtime("load");
    let mut costs = vec![Vec::new(); 1 + gateways.len()];
    for _ in 0..ROUNDS {
        costs[0].push(round(&load, "floor", floor));
        for (at, (thread, _, address)) in gateways.iter().enumerate() {
            costs[at + 1].push(round(&load, thread, *address));
        }
    }
    let medians: Vec<_> = costs.iter_mut().map(|costs| median(costs)).collect();
    println!("floor: {:.1} µs a request", medians[0]);
    for ((_, what, _), cost) in gateways.iter().zip(&medians[1..]) {
        let (floor, one) = (cost / medians[0], cost / medians[1]);
        println!("gateway, {what}: {cost:.1} µs a request, {floor:.2} x floor, {one:.3} x 1 route");
    }
}

/// Microseconds of processor time for each request of a round.
fn round(load: &Runtime, name: &str, address: SocketAddr) -> f64 {
    let before = cpu_seconds(name);
    let requests = load.block_on(requests_in(ROUND, address));
    (cpu_seconds(name) - before) / requests as f64 * 1e6
}

async fn requests_in(time: Duration, address: SocketAddr) -> usize {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (stop, count) = (stop.clone(), count.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut buffer = vec![0; 4096];
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(REQUEST).await.unwrap();
                read_response(&mut stream, &mut buffer).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    count.load(Ordering::Relaxed)
}

/// Reads a header, and the 128 bytes after it.
async fn read_response(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        let header = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if header.is_some_and(|end| filled >= end + 4 + 128) {
            assert!(buffer.starts_with(b"HTTP/1.1 200"));
            return;
        }
    }
}

fn start_origin() -> SocketAddr {
    serve("origin", |listener| async move {
        let listener = TcpListener::from_std(listener).unwrap();
        let response: Arc<[u8]> = [HEADER, &[b'x'; 128]].concat().into();
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let response = response.clone();
            connections.spawn(async move {
                let mut buffer = vec![0; 4096];
                // Requests are small and come one at a time: one read gets one request.
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    stream.write_all(&response).await.unwrap();
                }
            });
        }
    })
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

fn start_gateway(thread: &str, configuration: Vec<Change>) -> SocketAddr {
    let config = Config::parse(&node::config::load_with(None, []).unwrap()).unwrap();
    let (shared, _) =
        ProxyParts::new(&config, Metrics::new(&prometheus::Registry::new()).unwrap(), 1024).unwrap();
    shared.live.publish(Builder::new().apply(configuration).unwrap());
    let bound = bound();
    let address = bound.addresses()[0];
    let conf = Arc::new(app::server_conf(1));
    run(thread, app::proxy_service(&config, &conf, &shared, bound, Draining::new()));
    address
}

fn routes(origin: SocketAddr, routes: u128) -> Vec<Change> {
    let id = Uuid::from_u128(1);
    let (host, port) = (origin.ip().to_string(), origin.port());
    configuration(Service { id, host, port, ..Service::default() }, routes)
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

fn configuration(service: Service, routes: u128) -> Vec<Change> {
    let id = service.id;
    let route = |number| Route {
        id: Uuid::from_u128(0xB000 + number),
        service: Some(id),
        paths: Some(vec![if number == 0 { "/bench".into() } else { format!("/bench-{number}") }]),
        ..Route::default()
    };
    std::iter::once(Change::put(service)).chain((0..routes).map(route).map(Change::put)).collect()
}

fn bound() -> Bound {
    Bound::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap()
}

fn run<A: ServerApp + Send + Sync + 'static>(name: &str, mut service: gateway::listener::Listening<A>) {
    let runtime = runtime(name);
    thread::spawn(move || {
        let draining = Draining::new();
        runtime.block_on(service.start_service(None, draining.watch(), 1));
    });
}

fn serve<F>(name: &str, server: impl FnOnce(std::net::TcpListener) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()>,
{
    // On all addresses of loopback: each target has its own.
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
    let runtime = runtime(name);
    thread::spawn(move || {
        let _context = runtime.enter();
        runtime.block_on(server(listener));
    });
    address
}

fn runtime(name: &str) -> Runtime {
    RuntimeBuilder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

/// Processor time of the threads with this name.
fn cpu_seconds(name: &str) -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let of_name = threads.filter(|thread| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    let ticks = of_name.map(|thread| {
        let stat = std::fs::read_to_string(thread.join("stat")).unwrap();
        // The name may contain anything: the fields after it, from the third on.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>()
    });
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
