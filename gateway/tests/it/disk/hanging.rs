//! A disk that neither accepts nor refuses writes: no ack waits for it for long, and no request waits at all.

use testkit::plane::DEADLINE;
use tokio::time::Instant;
use wire::Mode;

use super::Stage;
use super::tracer::Tracer;

/// Longer than any timeout here.
const HANGS: &str = "delay_enter=100s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_append_delays_one_ack_and_no_later_one() {
    let (mut stage, mut connected) = Stage::started().await;
    let pid = stage.gateway.node.pid();
    let file = stage.file("config.log");
    let tracer = Tracer::inject_at(pid, &format!("write:{HANGS}"), &file).await;
    let begun = Instant::now();
    for _ in 0..5 {
        stage.push(&mut connected, Mode::Delta).await;
    }
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    stage.serves(6, "while the disk hangs").await;
    assert_eq!(stage.sync().await["disk_revision"], 1);
    stage.gateway.node.wait_metric("gibbon_config_cache_stalled", 1.0).await;
    let says = |view: &serde_json::Value| {
        view["sync"]["disk_error"].as_str().is_some_and(|text| text.contains("has not returned"))
    };
    stage.gateway.node.wait_status("said to hang", says).await;
    stage.wait_log("the disk has not answered").await;
    drop(tracer);
    stage.wait_on_disk(6).await;
    stage.gateway.node.wait_metric("gibbon_config_cache_stalled", 0.0).await;
    stage.control_ends();
    stage.gateway.node.kill9();
    stage.gateway.node.start().await;
    stage.serves(6, "from the disk").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_mark_delays_one_update_and_no_later_one() {
    let (mut stage, mut connected) = Stage::started().await;
    let pid = stage.gateway.node.pid();
    let file = stage.file("applying");
    let tracer = Tracer::inject_at(pid, &format!("pwrite64:{HANGS}"), &file).await;
    let begun = Instant::now();
    for _ in 0..5 {
        stage.push(&mut connected, Mode::Delta).await;
    }
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    stage.serves(6, "while the mark hangs").await;
    drop(tracer);
    stage.push(&mut connected, Mode::Delta).await;
    stage.wait_on_disk(7).await;
}

/// The program ends on a stop signal even though its disk hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_sync_does_not_keep_the_program_from_ending() {
    let (mut stage, mut connected) = Stage::started().await;
    let pid = stage.gateway.node.pid();
    let tracer = Tracer::inject(pid, &format!("fdatasync:{HANGS}")).await;
    stage.push(&mut connected, Mode::Delta).await;
    stage.push(&mut connected, Mode::Delta).await;
    stage.serves(3, "while syncs hang").await;
    stage.gateway.node.process_mut().terminate();
    // The disk "has not taken the copy", or on a busy machine the agent "has not ended": either is a bound.
    stage.wait_log("has not").await;
    drop(tracer);
    stage.gateway.node.process_mut().wait_exit(DEADLINE).await;
    stage.gateway.node.kill9();
    stage.control_ends();
    stage.gateway.node.start().await;
    stage.serves(3, "from the disk").await;
}
