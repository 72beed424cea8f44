//! The process ends while it applies a revision. A write removes the mark of that revision, and the tests
//! kill the process at that write, in the very program that is shipped.

use wire::{Mode, NackReason};

use super::tracer::Tracer;
use super::{Stage, send};

/// The mark is written at the beginning and at the end of an update: the second write is killed.
const KILL_AT_THE_END: &str = "pwrite64:signal=SIGKILL:when=2";

/// Makes the process end in the next update.
async fn die_in(stage: &mut Stage, connected: &mut crate::control_plane::Connected, update: &wire::Update) {
    let pid = stage.gateway.node.process_mut().pid();
    let _tracer = Tracer::inject(pid, KILL_AT_THE_END).await;
    send(connected, update).await;
    stage.wait_death().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_death_is_forgiven_the_second_refuses_the_revision_until_a_later_one() {
    let (mut stage, mut connected) = Stage::started().await;
    let second = stage.next(Mode::Delta);
    for deaths in 1..=2 {
        die_in(&mut stage, &mut connected, &second).await;
        stage.gateway.node.start().await;
        stage.serves(1, "what was before it").await;
        let view = stage.sync().await;
        assert_eq!((&view["crashed_revision"], &view["crashes"]), (&2.into(), &deaths.into()));
        assert_eq!(stage.gateway.node.metric("gibbon_config_crashes").await, f64::from(deaths));
        stage.wait_log("ended while it applied a configuration").await;
        connected = stage.welcome().await;
        assert_eq!(connected.hello.held, Some(stage.position(1)));
    }
    let nack = connected.update(&second).await.unwrap_err();
    assert_eq!((nack.reason, nack.revision), (NackReason::Internal, 2));
    assert!(nack.message.contains("ended the process 2 times in a row"), "{}", nack.message);
    stage.serves(1, "after the refusal").await;
    // A later revision, which builds upon the configuration held, ends the rejection.
    let third = stage.next(Mode::Delta);
    let both = merged(&stage, &second, &third);
    connected.update(&both).await.unwrap();
    stage.serves(3, "a later revision").await;
    assert_eq!(stage.sync().await["crashes"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_once_in_a_good_revision_it_takes_it_the_next_time() {
    let (mut stage, mut connected) = Stage::started().await;
    let second = stage.next(Mode::Delta);
    die_in(&mut stage, &mut connected, &second).await;
    stage.gateway.node.start().await;
    let mut connected = stage.welcome().await;
    connected.update(&second).await.unwrap();
    stage.serves(2, "the second try").await;
    assert_eq!(stage.sync().await["crashed_revision"], serde_json::Value::Null);
    assert_eq!(stage.gateway.node.metric("gibbon_config_crashes").await, 0.0);
}

/// Without an older configuration, a rejection would leave the node empty until the next write: it tries
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_holds_nothing_tries_again_what_ended_it() {
    let mut stage = Stage::new().await;
    let first = stage.next(Mode::Snapshot);
    for _ in 0..2 {
        stage.gateway.node.spawn();
        let mut connected = stage.welcome().await;
        die_in(&mut stage, &mut connected, &first).await;
    }
    stage.gateway.node.spawn();
    let mut connected = stage.welcome().await;
    assert_eq!(connected.hello.held, None);
    connected.update(&first).await.unwrap();
    stage.gateway.node.wait_ready().await;
    stage.serves(1, "the third try").await;
    assert_eq!(stage.sync().await["crashes"], 0);
}

/// The process ends while it applies its own copy on disk. The second start leaves out the last revision, and
/// serves those before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_the_process_at_its_start_is_not_booted_for_ever() {
    let (mut stage, mut connected) = Stage::started().await;
    stage.push(&mut connected, Mode::Delta).await;
    stage.push(&mut connected, Mode::Delta).await;
    stage.wait_on_disk(3).await;
    stage.gateway.node.stop().await;
    stage.control_ends();
    let mark = |deaths: u32| {
        let epoch = stage.position(2).epoch;
        format!("applying {epoch} 2\nsuspect {epoch} 2 {deaths} {deaths}\n")
    };
    let (first, second) = (mark(0), mark(1));
    std::fs::write(stage.file("applying"), first).unwrap();
    stage.gateway.node.start().await;
    stage.serves(3, "after one death").await;
    stage.gateway.node.stop().await;
    std::fs::write(stage.file("applying"), second).unwrap();
    stage.gateway.node.start().await;
    stage.serves(1, "after two").await;
    let damage = stage.sync().await["disk_damage"].clone();
    assert!(damage.as_str().unwrap().contains("ended the process 2 times"), "{damage}");
    let connected = stage.welcome().await;
    assert_eq!(connected.hello.held, Some(stage.position(1)));
}

/// A start that ended in the merged step marks only its last revision; the next start finds the one that was
/// to blame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_on_disk_are_taken_in_one_step_and_after_a_death_one_by_one() {
    let (mut stage, mut connected) = Stage::started().await;
    for _ in 0..4 {
        stage.push(&mut connected, Mode::Delta).await;
    }
    stage.wait_on_disk(5).await;
    stage.gateway.node.stop().await;
    stage.control_ends();
    for (mark, steps) in [(String::new(), 2.0), (format!("applying {} 5\n", stage.position(5).epoch), 5.0)] {
        std::fs::write(stage.file("applying"), mark).unwrap();
        stage.gateway.node.start().await;
        stage.serves(5, "from disk").await;
        let taken = stage.gateway.node.metric("gibbon_config_apply_duration_seconds_count").await;
        assert_eq!(taken, steps);
        stage.gateway.node.stop().await;
    }
}

/// One update with the effect of both.
fn merged(stage: &Stage, earlier: &wire::Update, later: &wire::Update) -> wire::Update {
    let payload = [earlier.payload().unwrap(), later.payload().unwrap()].concat();
    wire::Update::new(Mode::Delta, earlier.header.from, stage.position(later.header.to), payload.into())
}
