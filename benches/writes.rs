//! Writes a second through the Admin API: new routes by `POST` and by `PUT`, and changed ones by `PATCH`, each of
//! which a data plane makes live.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::time::Duration;

use benches::samples::{HEADING, Samples, number, numbers};
use benches::stage::{KINDS, Stage};
use benches::usage;
use serde_json::{Value, json};
use testkit::http::Client;
use tokio::time::Instant;

const ROUND: Duration = Duration::from_secs(2);
const METHODS: [&str; 3] = ["POST", "PUT", "PATCH"];

/// What one number of connections reached with one method.
struct Case {
    method: &'static str,
    connections: usize,
    rates: Samples,
    costs: Samples,
}

fn main() {
    let rounds = number("GIBBON_BENCH_ROUNDS", 5);
    let connections = numbers("GIBBON_BENCH_CONNECTIONS", &[4, 32]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("writes a second, {rounds} rounds of {ROUND:?} that take turns; goal: 1,000");
    println!("database connections method {HEADING}   control plane, us of processor a write");
    for kind in KINDS {
        runtime.block_on(async {
            let stage = Stage::start(kind).await;
            stage.make_service().await;
            let admin = stage.planes.control.admin();
            let service: Value = admin.get("/services/measured").await.unwrap().expect(200).json();
            let case = |connections, method| {
                let (rates, costs) = (Samples::default(), Samples::default());
                Case { method, connections, rates, costs }
            };
            let each = |connections| METHODS.map(|method| case(connections, method));
            let mut cases: Vec<Case> = connections.iter().flat_map(|count| each(*count)).collect();
            let pid = stage.planes.control.node.pid();
            for round in 0..rounds {
                for case in &mut cases {
                    let before = usage::cpu_us(pid);
                    let writes = writes(&stage, &service["id"], case, round).await as f64;
                    case.rates.push(writes / ROUND.as_secs_f64());
                    case.costs.push((usage::cpu_us(pid) - before) / writes);
                }
            }
            for Case { method, connections, rates, costs } in &cases {
                let database = format!("{kind:?}").to_lowercase();
                println!("{database:9}{connections:11} {method:7}{rates}   {:.0}", costs.at(0.5));
            }
        });
    }
}

async fn writes(stage: &Stage, service: &Value, case: &Case, round: usize) -> usize {
    let mut writers = tokio::task::JoinSet::new();
    for connection in 0..case.connections {
        let admin = Client::new(stage.planes.control.admin().address());
        let name = format!("{}-{round}-{}-{connection}", case.method, case.connections);
        writers.spawn(write(admin, service.clone(), case.method, name));
    }
    writers.join_all().await.into_iter().sum()
}

/// Writes for one round, one after another.
async fn write(admin: Client, service: Value, method: &str, name: String) -> usize {
    let body = |path: String| json!({ "paths": [path], "service": { "id": service } });
    let named = |mut body: Value, name: &str| {
        body["name"] = name.into();
        body
    };
    let changed = format!("/routes/{name}");
    if method == "PATCH" {
        admin.put(&changed, &body(format!("/{name}"))).await.unwrap().expect(200);
    }
    let end = Instant::now() + ROUND;
    let mut count = 0;
    while Instant::now() < end {
        let (body, new) = (body(format!("/{name}/{count}")), format!("{name}-{count}"));
        match method {
            "POST" => admin.post("/routes", &named(body, &new)).await.unwrap().expect(201),
            "PUT" => admin.put(&format!("/routes/{new}"), &body).await.unwrap().expect(200),
            _ => admin.patch(&changed, &body).await.unwrap().expect(200),
        };
        count += 1;
    }
    count
}
