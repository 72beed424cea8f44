//! Plugins that log: one entry for each request of any protocol, after its end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ::prometheus::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::origin::Origin;
use testkit::wait;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::client::Sent;
use super::{Form, Stage};
use crate::plugins::logs::SOON;
use crate::plugins::{plugin, prometheus, traces};

/// The plugins of these tests; opentelemetry also changes requests.
pub(super) const NAMES: [&str; 8] =
    ["file-log", "http-log", "opentelemetry", "prometheus", "statsd", SYSLOG, "tcp-log", "udp-log"];
const SYSLOG: &str = "syslog";

/// What takes the entries of one plugin.
struct Sink {
    plugin: Value,
    entries: Entries,
    _tasks: JoinSet<()>,
}

/// The entries that have come.
enum Entries {
    File(TempDir),
    Http(Origin),
    Otlp(Origin),
    /// JSON, or packets of statsd.
    Lines(Arc<Mutex<Vec<String>>>),
    Metrics,
}

impl Sink {
    async fn start(name: &str) -> Self {
        let mut tasks = JoinSet::new();
        let (entries, config) = match name {
            "file-log" => {
                let folder = tempfile::tempdir().unwrap();
                let config = json!({ "path": log_of(&folder) });
                (Entries::File(folder), config)
            }
            "http-log" => {
                let collector = Origin::start();
                let config = json!({ "http_endpoint": collector.url() });
                (Entries::Http(collector), config)
            }
            "opentelemetry" => {
                let collector = Origin::start();
                let queue = json!({ "max_coalescing_delay": 0.01 });
                let config =
                    json!({ "traces_endpoint": collector.url(), "sampling_rate": 1, "queue": queue });
                (Entries::Otlp(collector), config)
            }
            "prometheus" => (Entries::Metrics, json!({ "status_code_metrics": true })),
            "tcp-log" => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let (lines, port) = (Arc::default(), listener.local_addr().unwrap().port());
                tasks.spawn(read_lines(listener, Arc::clone(&lines)));
                (Entries::Lines(lines), json!({ "host": "127.0.0.1", "port": port }))
            }
            _ => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let (lines, port) = (Arc::default(), socket.local_addr().unwrap().port());
                tasks.spawn(read_packets(socket, Arc::clone(&lines)));
                let mut config = json!({ "host": "127.0.0.1", "port": port });
                if name == "statsd" {
                    let status = json!({ "name": "status_count", "stat_type": "counter", "sample_rate": 1 });
                    config["metrics"] = json!([status]);
                }
                (Entries::Lines(lines), config)
            }
        };
        Self { plugin: plugin(name, config), entries, _tasks: tasks }
    }

    /// The statuses of the entries that have come, sorted.
    fn statuses(&self, stage: &Stage) -> Vec<u16> {
        let of_json = |text: &str| {
            let entry: Value = serde_json::from_str(text).unwrap();
            u16::try_from(entry["response"]["status"].as_u64().unwrap()).unwrap()
        };
        let mut found: Vec<u16> = match &self.entries {
            Entries::File(folder) => {
                let text = std::fs::read_to_string(log_of(folder)).unwrap_or_default();
                let ends = text.rfind('\n').unwrap_or_default();
                text[..ends].lines().map(of_json).collect()
            }
            Entries::Http(collector) => {
                let texts = collector.requests().into_iter().map(|request| request.body);
                texts.map(|text| of_json(&String::from_utf8(text).unwrap())).collect()
            }
            Entries::Otlp(collector) => traces::statuses(&collector.requests()),
            Entries::Lines(lines) => {
                let of_packet =
                    |line: &str| Some(line.strip_suffix("|c")?.split_once(".status.")?.1.to_owned());
                let of_line = |line: &String| match of_packet(line) {
                    Some(counted) => counted.strip_suffix(":1").unwrap().parse().unwrap(),
                    None => of_json(line),
                };
                lines.lock().unwrap().iter().map(of_line).collect()
            }
            Entries::Metrics => [101, 200].into_iter().flat_map(|status| scraped(stage, status)).collect(),
        };
        found.sort_unstable();
        found
    }

    async fn wait_for(&self, stage: &Stage, statuses: &[u16]) {
        let name = &self.plugin["name"];
        let mut expected = statuses.to_vec();
        expected.sort_unstable();
        wait::eventually(SOON, || {
            let found = self.statuses(stage);
            assert!(found.len() <= expected.len(), "{name}: {found:?}, not {expected:?}");
            std::future::ready(if found == expected { Ok(()) } else { Err(format!("{name}: {found:?}")) })
        })
        .await;
    }
}

fn log_of(folder: &TempDir) -> PathBuf {
    folder.path().join("log")
}

async fn read_lines(listener: TcpListener, lines: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let lines = lines.clone();
        connections.spawn(async move {
            let mut read = BufReader::new(stream).lines();
            while let Ok(Some(line)) = read.next_line().await {
                lines.lock().unwrap().push(line);
            }
        });
    }
}

async fn read_packets(socket: UdpSocket, lines: Arc<Mutex<Vec<String>>>) {
    let mut space = [0; 65_536];
    while let Ok(length) = socket.recv(&mut space).await {
        lines.lock().unwrap().push(String::from_utf8(space[..length].to_vec()).unwrap());
    }
}

/// The entries for the system's log that were sent, or dropped.
fn counted(registry: &Registry) -> f64 {
    let families = registry.gather();
    let of_entries = families.iter().filter(|family| family.name().starts_with("gibbon_log_entries_"));
    let metrics = of_entries.flat_map(|family| family.get_metric());
    let of_syslog = metrics.filter(|metric| metric.get_label().iter().any(|label| label.value() == "syslog"));
    of_syslog.map(|metric| metric.get_counter().get_value()).sum()
}

/// A status for each request that the plugin prometheus has counted with it.
fn scraped(stage: &Stage, status: u16) -> Vec<u16> {
    let families = stage.plugged.gateway.registry.gather();
    let requests = families.iter().filter(|family| family.name() == "kong_http_requests_total");
    let metrics = requests.flat_map(|family| family.get_metric());
    let code = status.to_string();
    let of_status = metrics.filter(|metric| metric.get_label().iter().any(|label| label.value() == code));
    let total: f64 = of_status.map(|metric| metric.get_counter().get_value()).sum();
    (0..).take_while(|number| f64::from(*number) < total).map(|_| status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_one_entry_after_its_end() {
    for name in NAMES.into_iter().filter(|name| *name != SYSLOG) {
        let sink = Sink::start(name).await;
        let stage = Stage::start(std::slice::from_ref(&sink.plugin)).await;
        prometheus::show_families(&stage.plugged);
        let mut statuses = Vec::new();
        for form in [Form::Http1, Form::Http2, Form::Grpc] {
            assert_eq!(stage.send(form, &Sent::with(&[])).await.status, 200, "{name} {form:?}");
            statuses.push(200);
            sink.wait_for(&stage, &statuses).await;
        }
        // The entry of a tunnel is not there yet when that of a later request is.
        let mut open = stage.send(Form::WebSocket, &Sent::with(&[])).await;
        assert_eq!(open.status, 101, "{name}");
        open.echo().await;
        stage.send(Form::Http1, &Sent::with(&[])).await;
        statuses.push(200);
        sink.wait_for(&stage, &statuses).await;
        drop(open);
        statuses.push(101);
        sink.wait_for(&stage, &statuses).await;
    }
}

/// Where the machine has no log, entries wait for one: they are counted when the gateway has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_has_one_entry_for_the_log_of_the_system() {
    let stage = Stage::start(&[plugin(SYSLOG, json!({}))]).await;
    let registry = stage.plugged.gateway.registry.clone();
    for form in Form::ALL {
        let mut reply = stage.send(form, &Sent::with(&[])).await;
        assert_eq!(reply.status, form.status(), "{form:?}");
        reply.echo().await;
        drop(reply);
    }
    stage.plugged.gateway.wait_metric("gibbon_http_requests_in_flight", 0.0).await;
    drop(stage);
    // An entry that is on its way at that moment is counted a little later.
    wait::until(SOON, "each entry is counted", || counted(&registry) >= 4.0).await;
    assert!(counted(&registry) < 5.0, "{}", counted(&registry));
}
