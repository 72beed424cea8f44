//! Writes a second through the Admin API, from four connections, each write a new route that a data plane
//! makes live.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::time::Duration;

use benches::samples::{HEADING, Samples, number};
use benches::stage::{KINDS, Stage};
use benches::usage;
use serde_json::json;
use testkit::http::Client;
use tokio::time::Instant;

const CONNECTIONS: usize = 4;
const ROUND: Duration = Duration::from_secs(3);

fn main() {
    let rounds = number("GIBBON_BENCH_ROUNDS", 5);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("writes a second, {CONNECTIONS} connections, {rounds} rounds of {ROUND:?}; goal: 1,000");
    println!("database {HEADING}   control plane, us of processor a write");
    for kind in KINDS {
        runtime.block_on(async {
            let stage = Stage::start(kind).await;
            stage.make_service().await;
            let pid = stage.planes.control.node.pid();
            let (mut rates, mut costs) = (Samples::default(), Samples::default());
            for round in 0..rounds {
                let before = usage::cpu_us(pid);
                let writes = writes(&stage, round).await as f64;
                rates.push(writes / ROUND.as_secs_f64());
                costs.push((usage::cpu_us(pid) - before) / writes);
            }
            println!("{:9}{rates}   {:.0}", format!("{kind:?}").to_lowercase(), costs.at(0.5));
        });
    }
}

async fn writes(stage: &Stage, round: usize) -> usize {
    let end = Instant::now() + ROUND;
    let mut writers = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let admin = Client::new(stage.planes.control.admin().address());
        writers.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                let body = json!({ "paths": [format!("/{round}/{connection}/{count}")] });
                admin.post("/services/measured/routes", &body).await.unwrap().expect(201);
                count += 1;
            }
            count
        });
    }
    writers.join_all().await.into_iter().sum()
}
