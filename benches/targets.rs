//! Measures 100 upstreams of 100 targets with the real programs: what probing each target once a second costs a data
//! plane, and what it costs a control plane that 50 simulated data planes report as many changes of health to it as
//! they may.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a figure is what this bench is run for")]

use std::time::Duration;

use anyhow::ensure;
use benches::fleet::Fleet;
use benches::responder::{self, Responder};
use benches::samples::{HEADING, Samples, number};
use benches::stage::{Kind, Stage, target_id};
use benches::usage;
use model::{Number, Upstream};
use testkit::plane::Node;
use testkit::wait;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::{AddressHealth, Frame, Health, HealthReport, RecordType, ReportPart, TargetHealth};

const UPSTREAMS: u8 = 100;
const TARGETS: u8 = 100;
const ALL: usize = UPSTREAMS as usize * TARGETS as usize;
/// The time between two reports of a data plane, and the changes by which they reach its limit of 64 KiB a second.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);
const CHANGES: usize = 218;

fn main() {
    node::descriptors::raise_limit();
    if responder::is_this() {
        return responder::run();
    }
    let targets = Responder::start();
    let time = Duration::from_secs(number("GIBBON_BENCH_SECONDS", 10) as u64);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stage = Stage::start(Kind::Sqlite).await;
        probing(&stage, targets.port(), time).await;
        // Its probes would share the processors.
        stage.planes.gateway.node.stop().await;
        flapping(&stage, number("GIBBON_BENCH_FLEET", 50), time).await;
    });
}

async fn probing(stage: &Stage, port: u16, time: Duration) {
    let node = &stage.planes.gateway.node;
    let before = usage::memory(node.pid());
    stage.preload_upstreams(UPSTREAMS, TARGETS, port, &checked()).await;
    wait::eventually(Duration::from_secs(60), || async {
        let (planned, answered) = (node.metric("gibbon_upstream_probes_planned").await, answered(node).await);
        ensure!(
            planned as usize == ALL && answered >= 3.0 * ALL as f64,
            "{planned} planned, {answered} answered"
        );
        Ok(())
    })
    .await;
    let (cpu, probes, lag) = (usage::cpu_us(node.pid()), answered(node).await, lag(node).await);
    tokio::time::sleep(time).await;
    let (cpu, probes, lag) =
        (usage::cpu_us(node.pid()) - cpu, answered(node).await - probes, lags(&lag, &self::lag(node).await));
    println!("data plane, {UPSTREAMS} upstreams of {TARGETS} targets, each probed once a second");
    println!("  probes answered per second        {:9.0}", probes / time.as_secs_f64());
    println!("  processor time, of one core       {:9.1} %", cpu / 1e4 / time.as_secs_f64());
    println!("  memory, more than before          {:9.1} MB", (usage::memory(node.pid()) - before) / 1e6);
    println!("  probes begin late, p50 and p99    at most {} and {} ms\n", lag[0] * 1e3, lag[1] * 1e3);
}

/// An upstream whose targets are probed once a second.
fn checked() -> Upstream {
    let mut upstream = Upstream::default();
    let active = &mut upstream.healthchecks.active;
    (active.healthy.interval, active.healthy.successes) = (Number::whole(1), 1);
    (active.unhealthy.interval, active.unhealthy.tcp_failures) = (Number::whole(1), 1);
    upstream
}

async fn answered(node: &Node) -> f64 {
    node.metric("gibbon_upstream_probes_total{result=\"2xx\"}").await
}

/// The upper bounds of the lag's buckets in seconds, and the probes within each.
async fn lag(node: &Node) -> Vec<(f64, f64)> {
    let text = node.status().get("/metrics").await.unwrap().expect(200).text();
    let bucket = |line: &str| {
        let (bound, count) =
            line.strip_prefix("gibbon_upstream_probe_lag_seconds_bucket{le=\"")?.split_once("\"} ")?;
        Some((bound.replace("+Inf", "inf").parse().ok()?, count.parse().ok()?))
    };
    text.lines().filter_map(bucket).collect()
}

/// The bounds that half and 99 % of the probes between two readings did not exceed.
fn lags(before: &[(f64, f64)], after: &[(f64, f64)]) -> [f64; 2] {
    let within: Vec<_> =
        before.iter().zip(after).map(|((bound, before), (_, after))| (*bound, after - before)).collect();
    let all = within.last().unwrap().1;
    [0.5, 0.99].map(|share| within.iter().find(|(_, count)| *count >= share * all).unwrap().0)
}

async fn flapping(stage: &Stage, count: usize, time: Duration) {
    let (node, admin) = (&stage.planes.control.node, stage.planes.control.admin());
    let fleet = Fleet::start(count, &stage.planes.control.cluster().to_string(), &stage.planes.pair);
    fleet.wait_for(stage.head().await).await;
    let memory = usage::memory(node.pid());
    for (at, report) in full().into_iter().enumerate() {
        fleet.report(report);
        received(node, ((at + 1) * CHANGES).min(ALL) * count).await;
    }
    let dropped = dropped(node).await;
    let (cpu, begun, mut sent, mut bytes) = (usage::cpu_us(node.pid()), Instant::now(), 0, 0);
    let mut shown = Samples::default();
    let mut ticks = interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while begun.elapsed() < time {
        ticks.tick().await;
        let report = changes(sent);
        bytes += Frame::Health(report.clone()).encode().len() * count;
        fleet.report(report);
        sent += 1;
        if sent % 5 == 0 {
            let begun = Instant::now();
            admin.get("/upstreams/upstream-0/health?size=100").await.unwrap().expect(200);
            shown.milliseconds(begun.elapsed());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = usage::cpu_us(node.pid()) - cpu;
    println!("control plane, {count} data planes that report {ALL} targets, all flapping");
    println!("  changes per second                {:9.0}", (sent * CHANGES * count) as f64 / seconds);
    println!("  received per second               {:9.1} MB", bytes as f64 / 1e6 / seconds);
    println!("  processor time, of one core       {:9.1} %", cpu / 1e4 / seconds);
    println!(
        "  memory, for each data plane       {:9.0} kB",
        (usage::memory(node.pid()) - memory) / 1e3 / count as f64
    );
    println!("  changes dropped                   {:9.0}", self::dropped(node).await - dropped);
    println!("                                    {HEADING}");
    println!("  health of an upstream, ms         {shown}");
}

/// Waits until the control plane has taken this many states of targets.
async fn received(node: &Node, count: usize) {
    wait::eventually(Duration::from_secs(60), || async {
        let received = node.metric("gibbon_cluster_health_entries_total").await;
        ensure!(received as usize >= count, "{received} of {count}");
        Ok(())
    })
    .await;
}

async fn dropped(node: &Node) -> f64 {
    let text = node.status().get("/metrics").await.unwrap().expect(200).text();
    let lines = text.lines().filter(|line| line.starts_with("gibbon_cluster_health_dropped_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A full report: every target is unhealthy.
fn full() -> Vec<HealthReport> {
    let entries: Vec<_> = (0..ALL).map(|target| entry(target, Health::Unhealthy)).collect();
    let parts: Vec<_> = entries.chunks(CHANGES).collect();
    let last = parts.len() - 1;
    let report = |(at, entries): (usize, &&[TargetHealth])| {
        of(ReportPart::Full { first: at == 0, last: at == last }, entries.to_vec())
    };
    parts.iter().enumerate().map(report).collect()
}

/// The changes of report `number`: the next targets, which are healthy in each other round.
fn changes(number: usize) -> HealthReport {
    let changed = (number * CHANGES..).take(CHANGES).map(|at| {
        let health = if (at / ALL).is_multiple_of(2) { Health::Healthy } else { Health::Unhealthy };
        entry(at % ALL, health)
    });
    of(ReportPart::Changes, changed.collect())
}

fn of(part: ReportPart, entries: Vec<TargetHealth>) -> HealthReport {
    HealthReport { part, revision: 0, targets: ALL as u32, entries }
}

fn entry(target: usize, health: Health) -> TargetHealth {
    let (upstream, last) = ((target / usize::from(TARGETS)) as u8, (target % usize::from(TARGETS)) as u8);
    let address = AddressHealth {
        address: [127, 1, upstream, last + 1].into(),
        port: 8000,
        weight: 100,
        health,
        since: 1_700_000_000_000,
        last_error: Some("connection refused".to_owned()),
    };
    TargetHealth {
        target: target_id(upstream, last),
        record_type: RecordType::A,
        dns_error: None,
        addresses: vec![address],
    }
}
