//! Forwarding over real sockets: each test drives both the client and the upstream, byte by byte where that
//! matters, and looks at what arrives on the other side.

mod answers;
mod bodiless;
mod breaks;
mod broken_streams;
mod early;
mod echoes;
mod events;
mod footprint;
mod http2;
mod interim;
mod leaving;
mod pipelining;
mod raw;
mod refusals;
mod requests;
mod responses;
mod retries;
mod senders;
mod terms;
mod text;
mod trailers;
mod tunnels;
mod volume;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use model::{Protocol, Service};
use testkit::plane;
use testkit::ports;
use wire::{Key, Mode};

use crate::control_plane::{self, Connected, FakeControlPlane};
use crate::support::{Gateway, at, route};

/// Time in which the end of a client must have been noticed. A busy machine is given a second of it.
const NOTICED: Duration = Duration::from_secs(2);

/// A gateway of one route to an upstream of HTTP/1.1.
fn to(address: SocketAddr) -> Gateway {
    to_service(at(1, address))
}

/// A gateway of one route to an upstream of HTTP/2.
fn to_http2(address: SocketAddr) -> Gateway {
    to_service(Service { protocol: Protocol::Grpc, ..at(1, address) })
}

fn to_service(service: Service) -> Gateway {
    let gateway = Gateway::start();
    gateway.serve(service, route(1, "/"));
    gateway
}

/// Waits until no request is in flight, for as long as it may take to notice the end of a client.
async fn idle(gateway: &Gateway) {
    testkit::wait::until(NOTICED, "the end of the client is noticed", || {
        gateway.metric("gibbon_http_requests_in_flight") == 0.0
    })
    .await;
}

/// Waits until so many requests are in flight.
async fn in_flight(gateway: &Gateway, requests: usize) {
    gateway.wait_metric("gibbon_http_requests_in_flight", requests as f64).await;
}

/// An entity in its published form.
type Record = (Key, Option<Bytes>);

/// The real program, and a fake control plane that must live as long.
struct Program {
    gateway: plane::Gateway,
    _control: FakeControlPlane,
    _connected: Connected,
    _folder: tempfile::TempDir,
}

impl Program {
    /// Starts the program with a route to one upstream, and with these keys set.
    async fn start(upstream: SocketAddr, keys: &[(&str, &str)]) -> Self {
        Self::with(&[control_plane::service(1, upstream), control_plane::route(1, 1, "/")], keys).await
    }

    /// Starts the program with this configuration, and with these keys set.
    async fn with(records: &[Record], keys: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = testkit::certs::valid(folder.path(), "cluster");
        let port = ports::reserve();
        let mut control = FakeControlPlane::listen(port.address(), &pair).await;
        let mut gateway = plane::Gateway::at(&port.to_string(), &pair);
        gateway.node.set("log.level", "warn");
        keys.iter().for_each(|(key, value)| gateway.node.set(key, value));
        gateway.node.spawn();
        let mut connected = control.welcome().await;
        let update = control.history.update(Mode::Snapshot, records);
        connected.update(&update).await.unwrap();
        gateway.node.wait_ready().await;
        Self { gateway, _control: control, _connected: connected, _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.gateway.proxy_address()
    }

    /// Counts the peak of the memory from here on (proc_pid_clear_refs(5)).
    fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.gateway.node.pid()), "5").unwrap();
    }

    /// Resident bytes at most.
    fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Resident bytes now.
    fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.node.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

/// A number from the environment, else this one.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |number| number.parse().unwrap())
}

/// This many bytes that differ, so that a part out of its place would be found.
fn noise(length: usize) -> Bytes {
    let mut state = 1_u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes.take(length).collect()
}
