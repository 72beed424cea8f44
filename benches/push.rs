//! Measures the time from the `POST` of a route to the first request that it answers, and the bytes that this
//! takes. It runs both programs, with every database, small and large configurations, alone and beside a
//! fleet, and during other writes.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::time::Duration;

use benches::fleet::Fleet;
use benches::samples::{HEADING, Samples, number, numbers};
use benches::stage::{KINDS, Kind, Stage};
use serde_json::json;
use testkit::http::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// The bytes that TLS 1.3 adds to each message: header, content type, authentication tag.
const TLS: f64 = 22.0;
/// Writes per second by others during the measurement.
const OTHERS: u32 = 100;

/// The measured installation.
#[derive(Clone, Copy)]
struct Case {
    kind: Kind,
    routes: usize,
    fleet: usize,
    others: bool,
}

/// The results, times in milliseconds.
#[derive(Default)]
struct Outcome {
    from_request: Samples,
    from_answer: Samples,
    /// Bytes of each change, to the data plane and from it.
    bytes: (f64, f64),
}

fn main() {
    let samples = number("GIBBON_TEST_SAMPLES", 200);
    let sizes = numbers("GIBBON_BENCH_SIZES", &[10, 10_000, 100_000]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("POST a route -> first 200 through the data plane, {samples} samples, in milliseconds");
    println!(
        "goals: from the request 5 median, 15 p99; from the answer 1 median; beside {OTHERS} writes/s 50 p99\n"
    );
    println!("database  routes beside       from    {HEADING}");
    for kind in KINDS {
        for &routes in &sizes {
            for fleet in [0, 100] {
                runtime.block_on(measure(Case { kind, routes, fleet, others: false }, samples));
            }
        }
        runtime.block_on(measure(Case { kind, routes: sizes[0], fleet: 0, others: true }, samples));
    }
}

async fn measure(case: Case, samples: usize) {
    let stage = Stage::start(case.kind).await;
    stage.preload(case.routes).await;
    stage.make_service().await;
    let cluster = stage.planes.control.cluster().to_string();
    let fleet = Fleet::start(case.fleet, &cluster, &stage.planes.pair);
    fleet.wait_for(stage.head().await).await;
    let mut writers = JoinSet::new();
    if case.others {
        writers.spawn(others(stage.planes.control.admin()));
    }
    let outcome = pushes(&stage, samples, if fleet.is_empty() { 5 } else { 30 }).await;
    assert_eq!(writers.len(), usize::from(case.others), "who writes beside it has not ended");
    report(case, &outcome);
}

/// Makes one change after the other, with a pause in milliseconds: changes of a burst would be coalesced.
async fn pushes(stage: &Stage, samples: usize, pause: u64) -> Outcome {
    let (admin, proxy) = (stage.planes.control.admin(), stage.planes.gateway.proxy());
    let before = traffic(stage).await;
    let mut outcome = Outcome::default();
    for n in 0..samples {
        let path = format!("/sample-{n}");
        let sent = Instant::now();
        let created = admin.post("/services/measured/routes", &json!({ "paths": [path] })).await;
        created.unwrap().expect(201);
        let answered = Instant::now();
        while proxy.get(&path).await.unwrap().status != 200 {
            assert!(answered.elapsed() < Duration::from_secs(10), "{path} does not arrive");
        }
        outcome.from_request.milliseconds(sent.elapsed());
        outcome.from_answer.milliseconds(answered.elapsed());
        sleep(Duration::from_millis(pause)).await;
    }
    let after = traffic(stage).await;
    let each = |bytes: f64| bytes / samples as f64 + TLS;
    outcome.bytes = (each(after.0 - before.0), each(after.1 - before.1));
    outcome
}

/// Bytes to and from the one data plane so far, with the framing of WebSocket.
async fn traffic(stage: &Stage) -> (f64, f64) {
    let node = &stage.planes.gateway.node;
    let received = node.metric("gibbon_cluster_received_bytes_total").await;
    (received, node.metric("gibbon_cluster_sent_bytes_total").await)
}

/// Changes a route of its own, so many times a second, until it is dropped.
async fn others(admin: Client) {
    let mut tick = interval(Duration::from_secs(1) / OTHERS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0_u64.. {
        tick.tick().await;
        let body = json!({ "paths": [format!("/other-{n}")] });
        admin.put("/services/measured/routes/other", &body).await.unwrap().expect(200);
    }
}

fn report(case: Case, outcome: &Outcome) {
    let beside = match case {
        Case { others: true, .. } => format!("{OTHERS} writes/s"),
        Case { fleet: 0, .. } => "-".to_owned(),
        Case { fleet, .. } => format!("{fleet} nodes"),
    };
    let name = format!("{:?}", case.kind).to_lowercase();
    println!("{name:9}{:7} {beside:13}request  {}", case.routes, outcome.from_request);
    println!("{:30}answer   {}", "", outcome.from_answer);
    if case.fleet == 0 && !case.others {
        let (to, from) = outcome.bytes;
        println!("{:30}{to:.0} bytes to the data plane for each change (goal: 500), {from:.0} back", "");
    }
}
