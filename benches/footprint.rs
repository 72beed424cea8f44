//! Measures the memory of the two programs: idle, with configurations of several sizes, after many changes
//! and after many connections. Also measures the start of a data plane from its own disk.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::time::Duration;

use benches::fleet::Fleet;
use benches::samples::{HEADING, Samples, number, numbers};
use benches::stage::{Kind, Stage};
use benches::{stage, usage};
use serde_json::json;
use tokio::time::{Instant, sleep};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!(
        "memory (PSS) in MB; goals: data plane 40 idle and 1 kB a route, control plane 40 idle and 80 with"
    );
    println!(
        "10,000 routes, both flat over changes and connections; start from disk: 0.5 s with 100,000 routes\n"
    );
    for routes in numbers("GIBBON_BENCH_SIZES", &[0, 10_000, 100_000]) {
        runtime.block_on(measure(routes));
    }
}

async fn measure(routes: usize) {
    let mut stage = Stage::start(Kind::Sqlite).await;
    println!("{routes} routes                             data plane  control plane");
    row(&mut stage, "idle, before any configuration");
    stage.preload(routes).await;
    stage.make_service().await;
    // Freed memory returns to the system with the next allocations of the same threads.
    change(&stage, 100).await;
    row(&mut stage, "after it was loaded");
    let changes = number("GIBBON_BENCH_CHANGES", 10_000);
    change(&stage, changes / 2).await;
    row(&mut stage, &format!("after {} changes", changes / 2));
    change(&stage, changes / 2).await;
    row(&mut stage, &format!("after {changes} changes"));
    for connections in [500, 500] {
        connect(&stage, connections).await;
        row(&mut stage, &format!("after {connections} more connects and disconnects"));
    }
    if routes > 0 {
        starts(&mut stage, routes).await;
    }
    println!();
}

fn row(stage: &mut Stage, what: &str) {
    let (gateway, control) = (stage.planes.gateway.node.pid(), stage.planes.control.node.pid());
    println!("  {what:42}{:9.1}{:15.1}", usage::memory(gateway) / 1e6, usage::memory(control) / 1e6);
}

async fn change(stage: &Stage, changes: usize) {
    let admin = stage.planes.control.admin();
    for n in 0..changes {
        let body = json!({ "paths": [format!("/change-{n}")] });
        admin.put("/services/measured/routes/changing", &body).await.unwrap().expect(200);
    }
}

/// Runs data planes that connect, load the configuration and disconnect, fifty at a time.
async fn connect(stage: &Stage, connections: usize) {
    for _ in 0..connections / 50 {
        let fleet = Fleet::start(50, &stage.planes.control.cluster().to_string(), &stage.planes.pair);
        fleet.wait_for(stage.head().await).await;
        drop(fleet);
        sleep(Duration::from_millis(50)).await;
    }
}

async fn starts(stage: &mut Stage, routes: usize) {
    stage.planes.control.node.kill9();
    let mut starts = Samples::default();
    for _ in 0..number("GIBBON_BENCH_ROUNDS", 7) {
        stage.planes.gateway.node.stop().await;
        let begun = Instant::now();
        stage.planes.gateway.node.spawn();
        first_answer(stage, routes - 1).await;
        starts.milliseconds(begun.elapsed());
    }
    println!("  start from disk -> first 200, control plane down, ms   {HEADING}\n{:56}{starts}", "");
}

/// Waits until the data plane routes by a route; a connection is refused while it does not listen yet.
async fn first_answer(stage: &Stage, number: usize) {
    let proxy = stage.planes.gateway.proxy();
    let request =
        testkit::http::Request::new("GET", &stage::path(number)).header("Host", &stage::host(number));
    while !proxy.send(&request).await.is_ok_and(|response| response.status == 200) {
        sleep(Duration::from_millis(1)).await;
    }
}
