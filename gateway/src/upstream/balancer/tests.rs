//! Tests of whole balancers: many choices, and what health makes of them.

mod choices;
mod hashing;
mod health;
mod lifetimes;
mod limits;
mod outliers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::*;

const UPSTREAM: Uuid = Uuid::from_u128(7);
static NONE: std::sync::LazyLock<Tried> = std::sync::LazyLock::new(Tried::default);

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::new("u".into());
    change(&mut settings);
    settings
}

/// Passive checks that eject after two failures of a kind, and return after two successes.
fn checks() -> Checks {
    let limits = Thresholds {
        successes: 2,
        tcp_failures: 2,
        timeouts: 2,
        http_failures: 2,
        healthy: [200, 404].into_iter().collect(),
        unhealthy: [500, 503].into_iter().collect(),
    };
    Checks { on: true, active: limits, passive: limits }
}

fn member(number: u16, weight: u32) -> Member {
    let text = format!("10.0.{}.{}:80", number / 250, number % 250);
    Member {
        identity: Identity {
            target: Uuid::from_u128(u128::from(number)),
            text: text.as_str().into(),
            host: "10.0.0.1".into(),
            address: text.parse::<SocketAddr>().unwrap(),
            server_name: None,
        },
        weight,
        failover: false,
        state: State::Ready,
        zone: None,
        operation: None,
    }
}

fn members(count: u16) -> Vec<Member> {
    (0..count).map(|number| member(number, 100)).collect()
}

fn balancer(settings: Settings, members: Vec<Member>) -> Arc<Balancer> {
    Balancer::new(UPSTREAM, settings, members, &Slots::new())
}

fn wish(key: Option<u64>) -> Wish<'static> {
    Wish { key, sticky: None, tried: &NONE, now: Instant::now() }
}

fn choose(balancer: &Balancer) -> Result<Chosen, NoTarget> {
    balancer.choose(&wish(None))
}

/// The number that [`member`] was made with.
fn number(chosen: &Chosen) -> u16 {
    chosen.identity().target.as_u128() as u16
}

/// The slot of a member.
fn slot(balancer: &Balancer, number: u16) -> Arc<Slot> {
    let of = |(member, _): &(Member, _)| member.identity.target.as_u128() == u128::from(number);
    balancer.members().into_iter().find(of).unwrap().1
}

/// How often each of `count` members is chosen in `choices`, each request ending before the next.
fn spread(balancer: &Balancer, count: u16, choices: u32) -> Vec<u32> {
    let mut spread = vec![0; usize::from(count)];
    for _ in 0..choices {
        spread[usize::from(number(&choose(balancer).unwrap()))] += 1;
    }
    spread
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn answered(status: u16) -> Outcome<'static> {
    Outcome::Answered { status, took: Duration::from_millis(10) }
}

const REFUSED: Outcome<'static> = Outcome::ConnectFailed { reason: "connection refused" };

/// Reports an outcome of a request to a member.
fn report(balancer: &Balancer, number: u16, outcome: &Outcome<'_>) {
    slot(balancer, number).heard(outcome, false, Instant::now());
}

/// Keeps the time of `slots` until the set is dropped.
fn keep_time(slots: &Arc<Slots>) -> JoinSet<()> {
    let (mut tasks, slots) = (JoinSet::new(), slots.clone());
    tasks.spawn(async move { slots.keep_time().await });
    tasks
}

/// Lets time pass, with all that is due in it.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
    // The task that keeps the time runs at the same moment.
    tokio::time::sleep(Duration::from_millis(1)).await;
}
