//! How fast a change is: from `POST /services/…/routes` to the first request that the data plane routes by
//! it, with the two real programs, on both databases.
//!
//! `GIBBON_TEST_SAMPLES` says how many changes are measured on each database; without it, 20.

#![expect(clippy::print_stdout, reason = "a table is what this bench is run for")]

use std::time::Duration;

use serde_json::json;
use testkit::plane::{Database, Planes};
use tokio::time::Instant;

fn main() {
    let samples =
        std::env::var("GIBBON_TEST_SAMPLES").map_or(20, |text| text.parse().expect("a number of samples"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    println!("POST a route -> first 200 through the data plane, {samples} samples, in milliseconds");
    println!("{:12} {:30} {:>8} {:>8} {:>8} {:>8}", "database", "from", "median", "p99", "min", "max");
    for database in [Database::Sqlite, Database::Postgres] {
        let (requests, answers) = runtime.block_on(measure(database, samples));
        report(database, "the request was sent", requests);
        report(database, "the answer arrived", answers);
    }
}

/// For each change, the time since the request was sent and since its answer arrived.
async fn measure(database: Database, samples: usize) -> (Vec<Duration>, Vec<Duration>) {
    let planes = Planes::start(database).await;
    planes.serve("/warm").await;
    let (admin, proxy) = (planes.control.admin(), planes.gateway.proxy());
    let service = json!({ "name": "measured", "url": planes.origin.url() });
    admin.post("/services", &service).await.expect("the Admin API answers").expect(201);
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for n in 0..samples {
        let path = format!("/sample-{n}");
        let sent = Instant::now();
        let created = admin.post("/services/measured/routes", &json!({ "paths": [path] })).await;
        created.expect("the Admin API answers").expect(201);
        let answered = Instant::now();
        while proxy.get(&path).await.expect("the proxy answers").status != 200 {
            assert!(answered.elapsed() < Duration::from_secs(10), "{path} does not arrive");
        }
        requests.push(sent.elapsed());
        answers.push(answered.elapsed());
    }
    (requests, answers)
}

fn report(database: Database, from: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let at = |share: f64| {
        let index = ((samples.len() as f64 * share) as usize).min(samples.len() - 1);
        samples[index].as_secs_f64() * 1000.0
    };
    println!(
        "{:12} {:30} {:8.2} {:8.2} {:8.2} {:8.2}",
        format!("{database:?}"),
        from,
        at(0.5),
        at(0.99),
        at(0.0),
        at(1.0)
    );
}
