//! Replaces one process by another: under load, with changes pushed all the while, and with failures.

pub(crate) mod load;
mod stage;

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::http::{Client, Connection};
use testkit::plane::DEADLINE;
use testkit::wait;
use tokio::time::Instant;

use self::load::Load;
pub(crate) use self::stage::{Stage, UPSTREAM};

/// The number of successive upgrades.
fn upgrades() -> u32 {
    std::env::var("GIBBON_TEST_UPGRADES").map_or(5, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_and_changes_go_on() {
    let mut stage = Stage::start(&[]).await;
    let load = Load::start(stage.proxy.address());
    for _ in 0..upgrades() {
        let before = stage.main_pid();
        let pushed = stage.pushed();
        stage.signal(Signal::SIGUSR2);
        stage.told("READY=1").await;
        assert_ne!(stage.main_pid(), before, "the service manager was told the new process");
        stage.ended(before).await;
        // The new process is ready with the copy on disk; after that it receives changes.
        wait::until(DEADLINE, "changes are pushed", || stage.pushed() > pushed + 20).await;
        stage.ready().await;
    }
    let served = load.end().await;
    assert!(served.requests > 100 * upgrades(), "{served:?}");
    assert_eq!(served.failures, Vec::<String>::new(), "of {} requests", served.requests);
    assert_eq!(stage.origin.count(), served.requests as usize, "each was sent upstream once");
    assert!(served.closed > 0, "an old process says with its last answers that it closes");
    assert!(served.goaways > 0, "and by HTTP/2 that it takes no more streams");

    let view = stage.status().await;
    assert_eq!(stage.node_ids(), 1, "all of them were the same node");
    assert_eq!(view["sync"]["crashes"], 0);
    assert_eq!(view["sync"]["disk_damage"], serde_json::Value::Null);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_fails_leaves_everything_as_it_was() {
    let mut stage = Stage::start(&[("upgrade_timeout", "3s")]).await;
    let load = Load::start(stage.proxy.address());
    let pid = stage.main_pid();
    for (program, why) in [
        ("#!/nonexistent\n", "cannot start"),
        ("#!/bin/sh\nexit 7\n", "exit status: 7"),
        ("#!/bin/sh\nexec sleep 60\n", "was not ready within 3s"),
        ("#!/bin/sh\nGIBBON_CLUSTER__CERT=/nonexistent exec \"$REAL_PROGRAM\" \"$@\"\n", "exit status: 69"),
    ] {
        stage.place(program);
        stage.signal(Signal::SIGUSR2);
        stage.told(why).await;
        assert_eq!(stage.main_pid(), pid);
        let pushed = stage.pushed();
        wait::until(DEADLINE, "the sync goes on", || stage.pushed() > pushed + 5).await;
        stage.disk_follows().await;
    }
    assert_eq!(load.end().await.failures, Vec::<String>::new());

    stage.place_program();
    stage.signal(Signal::SIGUSR2);
    stage.told("READY=1").await;
    stage.ended(pid).await;
    stage.ready().await;
    assert_ne!(stage.main_pid(), pid);
    stage.stop().await;
}

/// A target that is out stays so: the new process does not try it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_of_targets_goes_to_the_next_process() {
    let mut stage = Stage::start(&[("proxy.drain_timeout", "1s")]).await;
    let proxy = Client::new(stage.proxy.address());
    for _ in 0..4 {
        proxy.get("/balanced").await.unwrap().expect(200);
    }
    let before = health_of_dead(&stage).await;
    assert_eq!(before["health"], "UNHEALTHY", "{before}");
    for _ in 0..2 {
        let pid = stage.main_pid();
        stage.signal(Signal::SIGUSR2);
        stage.told("READY=1").await;
        stage.ended(pid).await;
        stage.ready().await;
        assert_eq!(health_of_dead(&stage).await, before, "with its time and error");
        let text = Client::new(stage.status_address()).get("/metrics").await.unwrap().expect(200).text();
        for _ in 0..4 {
            proxy.get("/balanced").await.unwrap().expect(200);
        }
        assert!(text.contains("gibbon_upstream_retries_total{upstream=\"balanced\"} 0"), "{text}");
    }
    stage.stop().await;
}

/// A client does not get its limit again by an upgrade.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_limits_go_to_the_next_process() {
    let mut stage = Stage::start(&[("proxy.drain_timeout", "1s")]).await;
    for left in [3, 1] {
        let proxy = Client::new(stage.proxy.address());
        proxy.get("/limited").await.unwrap().expect(200);
        let response = proxy.get("/limited").await.unwrap().expect(200);
        assert_eq!(response.header("ratelimit-remaining"), Some(&*left.to_string()));
        let pid = stage.main_pid();
        stage.signal(Signal::SIGUSR2);
        stage.told("READY=1").await;
        stage.ended(pid).await;
        stage.ready().await;
    }
    let proxy = Client::new(stage.proxy.address());
    proxy.get("/limited").await.unwrap().expect(200);
    proxy.get("/limited").await.unwrap().expect(429);
    stage.stop().await;
}

/// The health of the target at which nothing listens.
async fn health_of_dead(stage: &Stage) -> Value {
    let health = Client::new(stage.status_address()).get("/upstreams/balanced/health").await.unwrap();
    let dead = stage.dead.to_string();
    let data = health.expect(200).json()["data"].take();
    data.as_array().unwrap().iter().find(|target| target["target"] == *dead).unwrap().clone()
}

/// An idle connection of a process that was replaced by another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_served_once_more_and_ends_at_last() {
    let mut stage = Stage::start(&[("proxy.drain_timeout", "2s")]).await;
    let mut used = Connection::open(stage.proxy.address()).await.unwrap();
    let mut idle = Connection::open(stage.proxy.address()).await.unwrap();
    for connection in [&mut used, &mut idle] {
        connection.write(load::REQUEST).await.unwrap();
        let answer = connection.read_response(false).await.unwrap().expect(200);
        assert_ne!(answer.header("connection"), Some("close"));
    }
    let pid = stage.main_pid();
    let started = Instant::now();
    stage.signal(Signal::SIGUSR2);
    stage.told("READY=1").await;
    // Until the old process knows that it was relieved, its responses do not announce the end.
    let mut last = false;
    while !last {
        assert!(started.elapsed() < DEADLINE, "the last answer says that the connection ends");
        used.write(load::REQUEST).await.unwrap();
        last = used.read_response(false).await.unwrap().expect(200).header("connection") == Some("close");
    }
    assert_eq!(idle.read_to_end().await.unwrap().len(), 0);
    assert!(started.elapsed() > Duration::from_secs(2), "{:?}", started.elapsed());
    stage.ended(pid).await;
    stage.stop().await;
}
