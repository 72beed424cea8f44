//! A configuration of 1,000,000 API keys, loaded by `gibbon-control config sync` while the Admin API and the proxy
//! answer; then one change after another, a new data plane, and a start without the control plane.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use benches::fleet::Fleet;
use benches::samples::{HEADING, Samples, number};
use benches::stage::{self, Kind, Stage};
use benches::usage;
use serde_json::{Value, json};
use testkit::http::{Client, Request};
use testkit::plane::Gateway;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const KEYS_OF_A_CONSUMER: usize = 10;
const CHANGES: usize = 50;
/// The longest that an answer may take meanwhile.
const GOAL: Duration = Duration::from_millis(100);
/// The time between two requests meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
const HEARTBEAT: Duration = Duration::from_secs(1);

fn main() {
    let keys = number("GIBBON_BENCH_CREDENTIALS", 1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "{keys} API keys, {KEYS_OF_A_CONSUMER} of a consumer; goals: loaded in 60 s, answers within 100 ms"
    );
    for kind in [Kind::Sqlite, Kind::Durable] {
        runtime.block_on(measure(kind, keys));
    }
}

async fn measure(kind: Kind, keys: usize) {
    let mut stage = Stage::start_with(kind, &[("cluster.heartbeat_interval", "1s")], &[]).await;
    println!("\n{kind:?}");
    stage.sync(&write_document(&stage, KEYS_OF_A_CONSUMER)).await;
    wait_for_key(&stage.planes.gateway, KEYS_OF_A_CONSUMER - 1).await;
    memory("with ten keys", &stage, &stage.planes.gateway);

    let document = write_document(&stage, keys);
    let beats = Fleet::start(1, &stage.planes.control.cluster().to_string(), &stage.planes.pair);
    beats.wait_for(1).await;
    let service = Request::new("GET", "/services/bulk");
    let asked = Asked::start(stage.planes.control.admin(), service);
    let proxied = Asked::start(stage.planes.gateway.proxy(), request(0));
    let machine = Asleep::start();
    let begun = Instant::now();
    stage.sync(&document).await;
    println!("  config sync: {:.1} s", begun.elapsed().as_secs_f64());
    wait_for_key(&stage.planes.gateway, keys - 1).await;
    println!("  until the data plane accepts the last key: {:.1} s", begun.elapsed().as_secs_f64());
    memory("after it", &stage, &stage.planes.gateway);
    let begun = Instant::now();
    stage.sync(&document).await;
    println!("  once more, without a difference: {:.1} s", begun.elapsed().as_secs_f64());

    let (live, bytes) = changes(&stage, keys).await;
    println!("  a new key: {bytes:.0} bytes to the data plane");

    let begun = Instant::now();
    let mut second = stage.planes.another_gateway().await;
    wait_for_key(&second, keys - 1).await;
    println!("  a new data plane accepts the last key: {:.1} s", begun.elapsed().as_secs_f64());
    memory("with it", &stage, &second);
    let reconnects = stage.planes.gateway.node.count("gibbon_cluster_reconnects_total").await;
    println!("  reconnects of the first data plane: {reconnects}");

    let late = beats.longest_silence().saturating_sub(HEARTBEAT).as_secs_f64() * 1e3;
    println!("  a session hears of the control plane each second, at most {late:.0} ms late");

    println!("  milliseconds                            {HEADING}");
    println!("  a new key, from its request to its use  {live}");
    println!("  the Admin API meanwhile, a GET          {}", asked.end().await);
    println!("  the proxy meanwhile                     {}", proxied.end().await);
    println!("  a thread that sleeps meanwhile, late    {}", machine.end());

    stage.planes.control.node.kill9();
    second.node.stop().await;
    let begun = Instant::now();
    second.node.spawn();
    wait_for_key(&second, keys - 1).await;
    println!("  start from the disk, without the control plane: {:.1} s", begun.elapsed().as_secs_f64());
}

/// Writes the document of a service that wants one of this many keys. Before anything is measured: it takes a
/// second of a core.
fn write_document(stage: &Stage, keys: usize) -> PathBuf {
    let path = stage.planes.folder.path().join("keys.json");
    std::fs::write(&path, configuration(&stage.planes.origin.url(), keys)).unwrap();
    path
}

fn configuration(origin: &str, keys: usize) -> String {
    let service = json!({
        "name": "bulk", "url": origin, "routes": [{ "name": "bulk", "paths": ["/"] }], "plugins": [{ "name": "key-auth" }],
    });
    let mut text = format!(r#"{{"_format_version":"3.0","services":[{service}],"consumers":["#);
    for consumer in 0..keys / KEYS_OF_A_CONSUMER {
        let separator = if consumer == 0 { "" } else { "," };
        let first = consumer * KEYS_OF_A_CONSUMER;
        let keys = (first..first + KEYS_OF_A_CONSUMER).map(|number| json!({ "key": key(number) }));
        let keys: Value = keys.collect();
        write!(text, r#"{separator}{{"username":"consumer-{consumer}","keyauth_credentials":{keys}}}"#)
            .unwrap();
    }
    text.push_str("]}");
    text
}

fn key(number: usize) -> String {
    format!("key-{number:012}")
}

fn request(number: usize) -> Request {
    Request::new("GET", "/get").header("apikey", &key(number))
}

async fn wait_for_key(gateway: &Gateway, number: usize) {
    let (proxy, request) = (gateway.proxy(), request(number));
    let begun = Instant::now();
    while !proxy.send(&request).await.is_ok_and(|response| response.status == 200) {
        assert!(begun.elapsed() < stage::LONGEST_SYNC, "{} is not accepted", key(number));
        sleep(Duration::from_millis(1)).await;
    }
}

/// Adds keys, one after another. Returns the times until they were accepted, and the bytes sent for each.
async fn changes(stage: &Stage, keys: usize) -> (Samples, f64) {
    let admin = stage.planes.control.admin();
    let sent = || stage.planes.control.node.count("gibbon_cluster_sent_bytes_total");
    let (mut live, before) = (Samples::default(), sent().await);
    for number in keys..keys + CHANGES {
        let begun = Instant::now();
        let body = json!({ "key": key(number) });
        admin.post("/consumers/consumer-0/key-auth", &body).await.unwrap().expect(201);
        wait_for_key(&stage.planes.gateway, number).await;
        live.milliseconds(begun.elapsed());
    }
    // Two data planes get each, one of them simulated.
    (live, (sent().await - before) / CHANGES as f64 / 2.0)
}

/// Prints the memory of both programs: now, and at most since the last line.
fn memory(when: &str, stage: &Stage, gateway: &Gateway) {
    for (name, pid) in
        [("control plane", stage.planes.control.node.pid()), ("data plane", gateway.node.pid())]
    {
        let (now, peak) = (usage::memory(pid) / 1e6, usage::peak_memory(pid) / 1e6);
        println!("  memory of the {name} {when}: {now:.0} MB, at most {peak:.0} MB");
    }
}

/// A request that is made again and again.
struct Asked {
    task: JoinSet<Samples>,
    end: Arc<AtomicBool>,
}

impl Asked {
    fn start(client: Client, request: Request) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (mut samples, started) = (Samples::default(), Instant::now());
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.send(&request).await.unwrap().expect(200);
                samples.milliseconds(begun.elapsed());
                if begun.elapsed() > GOAL / 2 {
                    let (took, after) = (begun.elapsed().as_millis(), (begun - started).as_secs_f64());
                    println!("  {} after {after:.1} s took {took} ms", request.target());
                }
                sleep(PAUSE).await;
            }
            samples
        });
        Self { task, end }
    }

    async fn end(self) -> Samples {
        self.end.store(true, Ordering::Relaxed);
        self.task.join_all().await.remove(0)
    }
}

/// A thread that sleeps, asks nobody, and tells how late it woke: what the machine adds to the times beside it.
struct Asleep {
    thread: thread::JoinHandle<Samples>,
    end: Arc<AtomicBool>,
}

impl Asleep {
    fn start() -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let thread = thread::spawn(move || {
            let (mut samples, started) = (Samples::default(), Instant::now());
            while !ended.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(PAUSE);
                let late = begun.elapsed().saturating_sub(PAUSE);
                samples.milliseconds(late);
                if late > GOAL / 2 {
                    let after = (begun - started).as_secs_f64();
                    println!("  the sleeping thread after {after:.1} s was {} ms late", late.as_millis());
                }
            }
            samples
        });
        Self { thread, end }
    }

    fn end(self) -> Samples {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
