//! The compared proxies, each with one worker, no access log, and the same routes; and Gibbon with plugins.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use benches::stage::{self, Kind, Stage};
use benches::usage;
use serde_json::json;
use tempfile::TempDir;
use testkit::http::Request;
use testkit::ports::{self, Port};
use testkit::wait;

use crate::client::{self, Protocol};
use crate::identity::Identity;
use crate::plugins;

/// The name of the bare Pingora proxy.
pub(crate) const FLOOR: &str = "floor";
/// The most routes for Envoy, which adds them one by one.
const ENVOY_ROUTES: usize = 10_000;

/// A running proxy.
pub(crate) struct Peer {
    name: &'static str,
    http: SocketAddr,
    https: SocketAddr,
    process: Process,
}

enum Process {
    Gibbon { stage: Box<Stage>, _https: Port },
    Other(Other),
}

/// A program that is ended on drop.
struct Other {
    child: Child,
    _ports: Ports,
    _folder: TempDir,
}

/// The ports on which another proxy is configured to listen.
struct Ports {
    http: Port,
    https: Port,
}

/// Starts every proxy that is installed, with `routes` routes to `origin`.
pub(crate) async fn start(routes: usize, origin: SocketAddr, identity: &Identity) -> Vec<Peer> {
    let mut peers = vec![gibbon(routes, origin, identity).await];
    if std::env::var_os("GIBBON_BENCH_ALONE").is_some() {
        return peers;
    }
    let floor = PathBuf::from(std::env::var("GIBBON_BENCH_FLOOR").unwrap_or_default());
    if routes == 1 && floor.exists() {
        let start = |_: &Path, ports: &Ports| {
            let mut command = Command::new(&floor);
            command.args([&ports.http.to_string(), &ports.https.to_string()]);
            command.args([identity.cert(), identity.key()]).arg(origin.to_string());
            command
        };
        peers.push(other(FLOOR, identity, start).await);
    }
    if is_here("nginx") {
        let start = |folder: &Path, ports: &Ports| {
            let config = write(folder, "nginx.conf", &nginx(folder, ports, identity, routes, origin));
            command("nginx", &["-p", &folder.display().to_string(), "-e", "stderr", "-c", &config])
        };
        peers.push(other("nginx", identity, start).await);
    }
    if is_here("haproxy") {
        let start = |folder: &Path, ports: &Ports| {
            let map = write(folder, "routes.map", &haproxy_map(routes));
            let config = haproxy(ports, identity, &map, origin);
            command("haproxy", &["-db", "-f", &write(folder, "haproxy.cfg", &config)])
        };
        peers.push(other("haproxy", identity, start).await);
    }
    if is_here("envoy") && routes <= ENVOY_ROUTES {
        let start = |folder: &Path, ports: &Ports| {
            let config = write(folder, "envoy.json", &envoy(ports, identity, routes, origin));
            let base = ports.http.number().to_string();
            command("envoy", &["--concurrency", "1", "-l", "error", "--base-id", &base, "-c", &config])
        };
        peers.push(other("envoy", identity, start).await);
    }
    peers
}

/// Ends all proxies. Gibbon gets a SIGTERM: a program that is being profiled writes its counts when it ends.
pub(crate) async fn stop(peers: Vec<Peer>) {
    for mut peer in peers {
        if let Process::Gibbon { stage, .. } = &mut peer.process {
            stage.planes.gateway.node.stop().await;
        }
    }
}

impl Peer {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self, protocol: Protocol) -> SocketAddr {
        if protocol.is_tls() { self.https } else { self.http }
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.process {
            Process::Gibbon { stage, .. } => stage.planes.gateway.node.pid(),
            Process::Other(other) => other.child.id(),
        }
    }

    /// Pins the proxy to the first processor as soon as it answers.
    async fn ready(self, identity: &Identity) -> Self {
        for protocol in [Protocol::Http, Protocol::Https] {
            client::wait_until_open(protocol, self.address(protocol), identity).await;
        }
        usage::pin(self.pid(), 0);
        self
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts Gibbon with two routes to `origin`, of which one has plugins.
pub(crate) async fn guarded(origin: SocketAddr, identity: &Identity) -> Peer {
    let (stage, port) = start_gibbon().await;
    let document = stage.planes.folder.path().join("guarded.json");
    fs::write(&document, plugins::configuration(origin).to_string()).unwrap();
    stage.sync(&document).await;
    let last = Request::new("GET", &format!("{}/small", plugins::path(plugins::ROUTES[1])));
    let last = last.header("apikey", &plugins::key(plugins::CONSUMERS - 1));
    let proxy = stage.planes.gateway.proxy();
    wait::eventually(Duration::from_secs(60), || async {
        let status = proxy.send(&last).await?.status;
        anyhow::ensure!(status == 200, "{status}");
        Ok(())
    })
    .await;
    gibbon_peer(stage, port, identity).await
}

async fn gibbon(routes: usize, origin: SocketAddr, identity: &Identity) -> Peer {
    let (stage, port) = start_gibbon().await;
    stage.preload_to(routes, origin.port()).await;
    gibbon_peer(stage, port, identity).await
}

/// The programs, and the port for TLS.
async fn start_gibbon() -> (Stage, Port) {
    let port = ports::reserve();
    let settings = [("threads", "1"), ("proxy.listen_tls", &port.to_string())];
    (Stage::start_with(Kind::Sqlite, &[], &settings).await, port)
}

async fn gibbon_peer(stage: Stage, port: Port, identity: &Identity) -> Peer {
    let certificate = json!({ "cert": identity.cert_pem, "key": identity.key_pem, "snis": [stage::host(0)] });
    stage.planes.control.admin().post("/certificates", &certificate).await.unwrap().expect(201);
    let (http, https) = (stage.planes.gateway.proxy_address(), port.address());
    let process = Process::Gibbon { stage: Box::new(stage), _https: port };
    Peer { name: "gibbon", http, https, process }.ready(identity).await
}

async fn other(
    name: &'static str,
    identity: &Identity,
    start: impl FnOnce(&Path, &Ports) -> Command,
) -> Peer {
    let folder = tempfile::tempdir().unwrap();
    let ports = Ports { http: ports::reserve(), https: ports::reserve() };
    let mut command = start(folder.path(), &ports);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let (http, https) = (ports.http.address(), ports.https.address());
    let process = Process::Other(Other { child, _ports: ports, _folder: folder });
    Peer { name, http, https, process }.ready(identity).await
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

fn nginx(folder: &Path, ports: &Ports, identity: &Identity, routes: usize, origin: SocketAddr) -> String {
    let folder = folder.display();
    let (Ports { http, https }, cert, key) = (ports, identity.cert(), identity.key());
    let mut text = format!(
        "daemon off; master_process off; pid {folder}/pid;\nevents {{ worker_connections 4096; }}\n\
         http {{\naccess_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n\
         fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
         server_names_hash_max_size 65536; keepalive_requests 1000000; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_set_header Host $proxy_host; proxy_buffers 8 32k;\n\
         proxy_set_header X-Real-IP $remote_addr;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         upstream origin {{ server {origin}; keepalive 256; keepalive_requests 1000000; }}\n\
         ssl_certificate {cert}; ssl_certificate_key {key};\n",
        cert = cert.display(),
        key = key.display(),
    );
    for first in (0..routes).step_by(100) {
        writeln!(
            text,
            "server {{ listen {http}; listen {https} ssl http2; server_name {};",
            stage::host(first)
        )
        .unwrap();
        for number in first..routes.min(first + 100) {
            writeln!(text, "location {}/ {{ proxy_pass http://origin/; }}", stage::path(number)).unwrap();
        }
        text.push_str("}\n");
    }
    text + "}\n"
}

fn haproxy(ports: &Ports, identity: &Identity, map: &str, origin: SocketAddr) -> String {
    let (Ports { http, https }, both) = (ports, identity.both());
    let both = both.display();
    format!(
        "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
         timeout server 60s\n option forwardfor\n http-reuse always\nfrontend in\n bind {http}\n \
         bind {https} ssl crt {both} alpn h2,http/1.1\n \
         use_backend %[base,map_beg({map})]\nbackend origin\n server origin {origin} pool-max-conn 256\n"
    )
}

fn haproxy_map(routes: usize) -> String {
    (0..routes).fold(String::new(), |mut map, number| {
        writeln!(map, "{}{} origin", stage::host(number), stage::path(number)).unwrap();
        map
    })
}

fn envoy(ports: &Ports, identity: &Identity, routes: usize, origin: SocketAddr) -> String {
    let host = |first: usize| {
        let route = |number| {
            json!({
                "match": { "prefix": format!("{}/", stage::path(number)) },
                "route": { "cluster": "origin", "prefix_rewrite": "/" },
            })
        };
        let routes: Vec<_> = (first..routes.min(first + 100)).map(route).collect();
        json!({ "name": stage::host(first), "domains": [stage::host(first)], "routes": routes })
    };
    let hosts: Vec<_> = (0..routes).step_by(100).map(host).collect();
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "http_filters": [router], "route_config": { "virtual_hosts": hosts },
    });
    let filter = json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager });
    let tls = json!({ "name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": { "alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [{
            "certificate_chain": { "filename": identity.cert() }, "private_key": { "filename": identity.key() },
        }] },
    } });
    let endpoint = json!({ "endpoint": { "address": envoy_socket(origin) } });
    json!({ "static_resources": {
        "listeners": [
            { "address": envoy_socket(ports.http.address()), "filter_chains": [{ "filters": [filter] }] },
            {
                "address": envoy_socket(ports.https.address()),
                "filter_chains": [{ "filters": [filter], "transport_socket": tls }],
            },
        ],
        "clusters": [{ "name": "origin", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": "origin", "endpoints": [{ "lb_endpoints": [endpoint] }],
        } }],
    } })
    .to_string()
}

fn envoy_socket(address: SocketAddr) -> serde_json::Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}
