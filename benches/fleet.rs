//! Measures the cost of a fleet of data planes for a control plane: processor time and memory for each. Also
//! measures the time until all have acked a change, and until all have reconnected after its restart.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::time::Duration;

use benches::fleet::Fleet;
use benches::samples::{HEADING, Samples, number, numbers};
use benches::stage::{Kind, Stage};
use benches::usage;
use serde_json::json;

fn main() {
    let (routes, changes) = (number("GIBBON_BENCH_ROUTES", 10_000), number("GIBBON_BENCH_CHANGES", 50));
    println!(
        "{routes} routes, {changes} changes one after the other, each awaited; PostgreSQL without fsync"
    );
    println!("goals: 30 us and 200 kB a data plane; 1,000 back within 5 s; no snapshot encoded\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for count in numbers("GIBBON_BENCH_FLEET", &[100, 300, 1000]) {
        runtime.block_on(measure(count, routes, changes));
    }
}

async fn measure(count: usize, routes: usize, changes: usize) {
    let mut stage = Stage::start(Kind::Postgres).await;
    stage.preload(routes).await;
    stage.make_service().await;
    let pid = stage.planes.control.node.pid();
    let (alone, _) = cost(&stage, pid, None, changes).await;
    let memory = usage::memory(pid);
    let fleet = Fleet::start(count, &stage.planes.control.cluster().to_string(), &stage.planes.pair);
    let connected = fleet.wait_for(stage.head().await).await;
    let snapshots = fleet.snapshots();
    let (together, acked) = cost(&stage, pid, Some(&fleet), changes).await;
    let for_each = (usage::memory(pid) - memory) / count as f64;
    println!("{count} data planes");
    println!("  all connected and in sync from nothing   {:9.2} s", connected.as_secs_f64());
    println!("  processor time, each, for a change       {:9.1} us", (together - alone) / count as f64);
    println!("  memory, each                             {:9.1} kB", for_each / 1e3);
    println!("                                       {HEADING}");
    println!("  all have acked, from the answer, ms      {acked}");
    restart(&mut stage, &fleet).await;
    assert_eq!(fleet.snapshots(), snapshots, "changes and a restart take no snapshot");
}

/// Processor time of the control plane for each change in microseconds, and the time until all data planes
/// had applied it.
async fn cost(stage: &Stage, pid: u32, fleet: Option<&Fleet>, changes: usize) -> (f64, Samples) {
    let admin = stage.planes.control.admin();
    let mut acked = Samples::default();
    let before = usage::cpu_us(pid);
    for n in 0..changes {
        let body = json!({ "name": "changing", "paths": [format!("/change-{n}")] });
        let target = "/services/measured/routes/changing";
        let revision =
            admin.put(target, &body).await.unwrap().expect(200).header("gibbon-revision").unwrap().parse();
        if let Some(fleet) = fleet {
            acked.milliseconds(fleet.wait_for(revision.unwrap()).await);
        }
        // Changes of a burst would be coalesced.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ((usage::cpu_us(pid) - before) / changes as f64, acked)
}

async fn restart(stage: &mut Stage, fleet: &Fleet) {
    stage.planes.control.node.kill9();
    while fleet.connected() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begun = tokio::time::Instant::now();
    stage.planes.control.node.spawn();
    fleet.wait_for(0).await;
    let back = begun.elapsed().as_secs_f64();
    stage.planes.control.node.wait_ready().await;
    let encoded = stage.planes.control.node.metric("gibbon_updates_encoded_total{kind=\"snapshot\"}").await;
    println!("  all back after kill -9 and start         {back:9.2} s, {encoded} snapshots encoded\n");
}
