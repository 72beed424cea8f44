//! The proxies, each with one worker and no access log, and with the same routes.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use benches::stage::{self, Kind, Stage};
use benches::usage;
use tempfile::TempDir;
use testkit::ports::{self, Port};
use testkit::wait;
use tokio::net::TcpStream;

/// The name of the proxy that is Pingora and nothing else.
pub(crate) const FLOOR: &str = "floor";
/// How many routes Envoy is asked to hold at most: it takes them one by one.
const ENVOY_ROUTES: usize = 10_000;

/// A running proxy.
pub(crate) enum Peer {
    Gibbon(Box<Stage>),
    Other(Other),
}

/// A program, ended when this is dropped.
pub(crate) struct Other {
    name: &'static str,
    child: Child,
    port: Port,
    _folder: TempDir,
}

/// Starts every proxy that is here, with so many routes to `origin`.
pub(crate) async fn start(routes: usize, origin: SocketAddr) -> Vec<Peer> {
    let mut peers = vec![gibbon(routes, origin).await];
    let floor = PathBuf::from(std::env::var("GIBBON_BENCH_FLOOR").unwrap_or_default());
    if routes == 1 && floor.exists() {
        let origin = origin.to_string();
        let start = |_: &Path, port: &Port| {
            let mut command = Command::new(&floor);
            command.args([&port.to_string(), &origin]);
            command
        };
        peers.push(other(FLOOR, start).await);
    }
    if is_here("nginx") {
        let start = |folder: &Path, port: &Port| {
            let config = write(folder, "nginx.conf", &nginx(folder, port, routes, origin));
            command("nginx", &["-p", &folder.display().to_string(), "-e", "stderr", "-c", &config])
        };
        peers.push(other("nginx", start).await);
    }
    if is_here("haproxy") {
        let start = |folder: &Path, port: &Port| {
            let map = write(folder, "routes.map", &haproxy_map(routes));
            command("haproxy", &["-db", "-f", &write(folder, "haproxy.cfg", &haproxy(port, &map, origin))])
        };
        peers.push(other("haproxy", start).await);
    }
    if is_here("envoy") && routes <= ENVOY_ROUTES {
        let start = |folder: &Path, port: &Port| {
            let config = write(folder, "envoy.json", &envoy(port, routes, origin));
            let base = port.number().to_string();
            command("envoy", &["--concurrency", "1", "-l", "error", "--base-id", &base, "-c", &config])
        };
        peers.push(other("envoy", start).await);
    }
    peers
}

impl Peer {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gibbon(_) => "gibbon",
            Self::Other(other) => other.name,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Gibbon(stage) => stage.planes.gateway.proxy_address(),
            Self::Other(other) => other.port.address(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Gibbon(stage) => stage.planes.gateway.node.pid(),
            Self::Other(other) => other.child.id(),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn gibbon(routes: usize, origin: SocketAddr) -> Peer {
    let stage = Stage::start_with(Kind::Sqlite, &[("threads", "1")]).await;
    stage.preload_to(routes, origin.port()).await;
    let peer = Peer::Gibbon(Box::new(stage));
    usage::pin(peer.pid(), 0);
    peer
}

async fn other(name: &'static str, start: impl FnOnce(&Path, &Port) -> Command) -> Peer {
    let (folder, port) = (tempfile::tempdir().unwrap(), ports::reserve());
    let mut command = start(folder.path(), &port);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let other = Other { name, child, port, _folder: folder };
    let address = other.port.address();
    wait::eventually(Duration::from_secs(60), || TcpStream::connect(address)).await;
    usage::pin(other.child.id(), 0);
    Peer::Other(other)
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn nginx(folder: &Path, port: &Port, routes: usize, origin: SocketAddr) -> String {
    let folder = folder.display();
    let mut text = format!(
        "daemon off; master_process off; pid {folder}/pid;\nevents {{ worker_connections 4096; }}\n\
         http {{\naccess_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n\
         fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
         server_names_hash_max_size 65536; keepalive_requests 1000000; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $proxy_host; proxy_buffers 8 32k;\n\
         proxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000; }}\n"
    );
    for first in (0..routes).step_by(100) {
        writeln!(text, "server {{ listen {port}; server_name {};", stage::host(first)).unwrap();
        for number in first..routes.min(first + 100) {
            writeln!(text, "location {}/ {{ proxy_pass http://origin/; }}", stage::path(number)).unwrap();
        }
        text.push_str("}\n");
    }
    text + "}\n"
}

fn haproxy(port: &Port, map: &str, origin: SocketAddr) -> String {
    format!(
        "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
         timeout server 60s\n option forwardfor\n http-reuse always\nfrontend in\n bind {port}\n \
         use_backend %[base,map_beg({map})]\nbackend origin\n server origin {origin} pool-max-conn 256\n"
    )
}

fn haproxy_map(routes: usize) -> String {
    (0..routes).fold(String::new(), |mut map, number| {
        writeln!(map, "{}{} origin", stage::host(number), stage::path(number)).unwrap();
        map
    })
}

fn envoy(port: &Port, routes: usize, origin: SocketAddr) -> String {
    let host = |first: usize| {
        let route = |number| {
            serde_json::json!({
                "match": { "prefix": format!("{}/", stage::path(number)) },
                "route": { "cluster": "origin", "prefix_rewrite": "/" },
            })
        };
        let routes: Vec<_> = (first..routes.min(first + 100)).map(route).collect();
        serde_json::json!({ "name": stage::host(first), "domains": [stage::host(first)], "routes": routes })
    };
    let hosts: Vec<_> = (0..routes).step_by(100).map(host).collect();
    let socket = |address: SocketAddr| serde_json::json!({ "socket_address": { "address": "127.0.0.1", "port_value": address.port() } });
    let router = serde_json::json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    });
    let manager = serde_json::json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "http_filters": [router], "route_config": { "virtual_hosts": hosts },
    });
    let filter = serde_json::json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager });
    let endpoint = serde_json::json!({ "endpoint": { "address": socket(origin) } });
    serde_json::json!({ "static_resources": {
        "listeners": [{ "address": socket(port.address()), "filter_chains": [{ "filters": [filter] }] }],
        "clusters": [{ "name": "origin", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": "origin", "endpoints": [{ "lb_endpoints": [endpoint] }],
        } }],
    } })
    .to_string()
}
