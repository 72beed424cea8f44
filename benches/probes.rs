//! Measures active health checks: 100 upstreams of 100 targets, each probed once a second. The server is a process
//! of its own, so that the processor time is that of the prober alone. Printed, not timed.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a figure is what this bench is run for")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use benches::responder::{self, Responder};
use benches::usage::cpu_us;
use gateway::metrics::ProbeMetrics;
use gateway::upstream::health::{
    Check, Heard, HttpCheck, Probe, ProbeLimits, ProbeOutcome, ProbeThread, Prober, Schedule, WantedProbe,
};
use gateway::upstream::{Policy, Protocol, Terms};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Version};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const UPSTREAMS: u8 = 100;
const TARGETS: u8 = 100;
const INTERVAL: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(10);

/// A target that is always healthy, and counts bad results.
#[derive(Default)]
struct Target {
    failed: AtomicU64,
}

impl Heard for Target {
    fn is_healthy(&self) -> bool {
        true
    }

    fn result(&self, outcome: &ProbeOutcome) {
        let is_bad = !matches!(outcome, ProbeOutcome::Success | ProbeOutcome::Status(200));
        if is_bad && self.failed.fetch_add(1, Ordering::Relaxed) == 0 {
            println!("the first failure: {outcome:?}");
        }
    }
}

fn main() {
    node::descriptors::raise_limit();
    if responder::is_this() {
        return responder::run();
    }
    let server = Responder::start();
    let http = HttpCheck {
        terms: Terms::plain(Protocol::Http1),
        version: Version::HTTP_11,
        method: Method::GET,
        path: PathAndQuery::from_static("/"),
        host: HeaderValue::from_static("target.test"),
        fields: Arc::new([]),
    };
    for (name, check) in [("http", Check::Http(http)), ("tcp", Check::Tcp)] {
        measure(name, &check, server.port());
    }
}

fn measure(name: &str, check: &Check, port: u16) {
    let metrics = ProbeMetrics::new(&Registry::new()).unwrap();
    let limits = ProbeLimits { running: 4096, idle: 16_384 };
    let (prober, runner) = Prober::new(limits, Arc::<Policy>::default(), metrics.clone());
    let target = Arc::new(Target::default());
    let thread = ProbeThread::start(runner, std::future::ready(()), CancellationToken::new()).unwrap();
    for upstream in 0..UPSTREAMS {
        let all = (0..TARGETS)
            .map(|last| wanted(check, Ipv4Addr::new(127, 1, upstream, last + 1), port, target.clone()));
        prober.set(Uuid::from_u128(u128::from(upstream)), 10, all.collect());
    }
    sleep(WARM_UP);
    let pid = std::process::id();
    let (cpu, count) = (cpu_us(pid), metrics.duration.get_sample_count());
    let lag = (metrics.lag.get_sample_sum(), buckets(&metrics));
    sleep(MEASURED);
    let (cpu, count) = (cpu_us(pid) - cpu, metrics.duration.get_sample_count() - count);
    let seconds = MEASURED.as_secs_f64();
    let after = buckets(&metrics);
    let in_time: Vec<_> =
        after.iter().zip(lag.1).map(|((bound, now), (_, before))| (*bound, now - before)).collect();
    let bound = |part: f64| {
        let enough = |(_, within): &&(f64, u64)| *within as f64 >= part * count as f64;
        in_time.iter().find(enough).map_or(f64::INFINITY, |(bound, _)| *bound)
    };
    println!(
        "{name}: {:.0} probes/s, {:.1} % of a core, {:.1} us each, lag p50 <= {} ms, p99 <= {} ms, mean {:.2} ms, {} failed",
        count as f64 / seconds,
        cpu / 1e4 / seconds,
        cpu / count as f64,
        bound(0.5) * 1e3,
        bound(0.99) * 1e3,
        (metrics.lag.get_sample_sum() - lag.0) / count as f64 * 1e3,
        target.failed.load(Ordering::Relaxed),
    );
    thread.stop(Duration::from_secs(10));
}

/// The upper bounds of the lag's buckets, and the probes within each.
fn buckets(metrics: &ProbeMetrics) -> Vec<(f64, u64)> {
    use prometheus::core::Collector;
    let family = metrics.lag.collect().remove(0);
    let histogram = family.get_metric()[0].get_histogram();
    histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect()
}

fn wanted(check: &Check, address: Ipv4Addr, port: u16, heard: Arc<Target>) -> WantedProbe {
    WantedProbe {
        probe: Probe { address: SocketAddr::from((address, port)), check: check.clone(), timeout: INTERVAL },
        schedule: Schedule { healthy: Some(INTERVAL), unhealthy: Some(INTERVAL), jitter: 10 },
        name: None,
        heard,
    }
}
