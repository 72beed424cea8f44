//! A proxy on a thread of its own, whose processor time is counted for each request. Load and origin run in this
//! process, too, on threads that are not counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use gateway::app::{self, ProxyParts};
use gateway::config::Config;
use gateway::draining::Draining;
use gateway::listener::{Bound, Listening};
use gateway::metrics::Metrics;
use gateway::table::{Builder, Change};
use model::{Route, Service};
use pingora::apps::ServerApp;
use pingora::services::Service as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use uuid::Uuid;

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_millis(500);
/// The time before a round in which requests do not count: a gateway that was idle finds nothing in the caches.
const WARM_UP: Duration = Duration::from_millis(250);
/// The step through the requests, so that no cache knows the next one.
const STEP: usize = 618_033;
const HEADER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\nContent-Type: text/plain\r\n\r\n";

/// Requests of one kind. Their texts are made when they are sent: all of them would take the place of what is
/// measured in the caches.
#[derive(Clone, Copy)]
pub(crate) struct Requests {
    pub(crate) count: u128,
    pub(crate) text: fn(u128) -> String,
}

/// The clients and the origin, on one thread that never sleeps: a proxy that has to wake it pays for that, and a
/// slow one more often than a fast one.
pub(crate) struct Load(Runtime);

impl Load {
    /// Starts the thread.
    pub(crate) fn start() -> Self {
        let runtime = runtime("load");
        runtime.spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        Self(runtime)
    }

    /// Starts an origin, on all addresses of loopback: each target has its own.
    pub(crate) fn origin(&self) -> SocketAddr {
        let listener = self.0.block_on(TcpListener::bind("0.0.0.0:0")).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        self.0.spawn(serve(listener));
        address
    }

    /// Microseconds of processor time for each request of a round. The connections take the requests in turn.
    pub(crate) fn round(&self, name: &str, address: SocketAddr, requests: Requests) -> f64 {
        // Any number: all requests have their turn.
        let from = rand::random::<u32>() as usize;
        let warm_up = self.0.block_on(requests_in(WARM_UP, address, requests, from));
        let before = cpu_nanoseconds(name);
        let count = self.0.block_on(requests_in(ROUND, address, requests, from + warm_up));
        (cpu_nanoseconds(name) - before) / count as f64 / 1e3
    }
}

async fn requests_in(time: Duration, address: SocketAddr, requests: Requests, from: usize) -> usize {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (stop, count) = (stop.clone(), count.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut buffer = vec![0; 4096];
            while !stop.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let text = (requests.text)(((from + number) * STEP) as u128 % requests.count);
                stream.write_all(text.as_bytes()).await.unwrap();
                read_response(&mut stream, &mut buffer).await;
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

async fn serve(listener: TcpListener) {
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
}

pub(crate) fn start_gateway(thread: &str, configuration: Vec<Change>) -> SocketAddr {
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

pub(crate) fn routes(origin: SocketAddr, routes: u128) -> Vec<Change> {
    let id = Uuid::from_u128(1);
    let (host, port) = (origin.ip().to_string(), origin.port());
    configuration(Service { id, host, port, ..Service::default() }, routes)
}

pub(crate) fn configuration(service: Service, routes: u128) -> Vec<Change> {
    let id = service.id;
    let route = |number| Route {
        id: Uuid::from_u128(0xB000 + number),
        service: Some(id),
        paths: Some(vec![path(number)]),
        ..Route::default()
    };
    std::iter::once(Change::put(service)).chain((0..routes).map(route).map(Change::put)).collect()
}

/// The path of a route.
pub(crate) fn path(number: u128) -> String {
    if number == 0 { "/bench".to_owned() } else { format!("/bench-{number}") }
}

pub(crate) fn bound() -> Bound {
    Bound::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap()
}

pub(crate) fn run<A: ServerApp + Send + Sync + 'static>(name: &str, mut service: Listening<A>) {
    let runtime = runtime(name);
    thread::spawn(move || {
        let draining = Draining::new();
        runtime.block_on(service.start_service(None, draining.watch(), 1));
    });
}

fn runtime(name: &str) -> Runtime {
    RuntimeBuilder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build().unwrap()
}

/// Processor time of the threads with this name.
fn cpu_nanoseconds(name: &str) -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let of_name = threads.filter(|thread| {
        std::fs::read_to_string(thread.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    let times = of_name.map(|thread| {
        let times = std::fs::read_to_string(thread.join("schedstat")).unwrap();
        times.split(' ').next().unwrap().parse::<f64>().unwrap()
    });
    times.sum()
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
