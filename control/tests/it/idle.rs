//! The cost of both programs while nothing happens. `GIBBON_TEST_IDLE_SECONDS` sets the duration: 3900
//! exceeds an hour of one connection, after which both once spun.

use std::time::Duration;

use testkit::plane::{Database, Node, Planes};

/// The maximum share of one core in a run on optimised programs and a quiet machine, which names its duration.
const MEASURED: f64 = 0.005;
/// The maximum in a short run on any build: a loop that spins takes a quarter of a core.
const SPINNING: f64 = 0.1;
/// The kernel counts in ticks of 10 ms, and a window may begin and end within one.
const TICKS: u64 = 5;
const TICKS_PER_SECOND: u64 = 100;
const WINDOW: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_programs_do_not_spin() {
    let named = std::env::var("GIBBON_TEST_IDLE_SECONDS").ok();
    let most = if named.is_some() { MEASURED } else { SPINNING };
    let seconds = named.map_or(5, |text| text.parse().unwrap());
    let mut left = Duration::from_secs(seconds);
    let mut planes = Planes::new(Database::Sqlite);
    planes.control.node.set("cluster.heartbeat_interval", "30s");
    planes.gateway.node.set("cluster.heartbeat_interval", "30s");
    planes.control.node.start().await;
    planes.gateway.node.start().await;
    planes.serve("/").await;
    // The work that the start leaves behind is not idling.
    tokio::time::sleep(Duration::from_secs(2)).await;
    while !left.is_zero() {
        let window = left.min(WINDOW);
        left -= window;
        let before = [ticks(&planes.control.node), ticks(&planes.gateway.node)];
        tokio::time::sleep(window).await;
        let used = [ticks(&planes.control.node) - before[0], ticks(&planes.gateway.node) - before[1]];
        let core = |ticks: u64| ticks as f64 / (window.as_secs_f64() * TICKS_PER_SECOND as f64);
        println!(
            "{:>5} s: control plane {:.4}, data plane {:.4} of a core",
            seconds - left.as_secs(),
            core(used[0]),
            core(used[1])
        );
        assert!(used.iter().all(|ticks| core(ticks.saturating_sub(TICKS)) <= most), "{used:?} ticks");
    }
    assert_eq!(planes.gateway.node.status_view().await["sync"]["connected"], true);
    planes.gateway.node.stop().await;
    planes.control.node.stop().await;
}

/// Returns the user and system time so far, of all threads, in ticks.
fn ticks(node: &Node) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).unwrap();
    // The name, which may hold blanks, ends with the last bracket; then field 3 follows (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let number = |field: usize| fields[field - 3].parse::<u64>().unwrap();
    number(14) + number(15)
}
