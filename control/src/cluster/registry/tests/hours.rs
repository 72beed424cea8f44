//! The loop that writes the rows, for hours of a paused clock.

use std::pin::pin;

use testkit::turns::polls_in_steps;

use super::*;

const STEP: Duration = Duration::from_secs(30);
/// The steps of an hour.
const HOUR: u32 = 120;
/// A step wakes the loop once. A write is some ten polls: a turn, a connection, a transaction.
const POLLS_PER_STEP: u64 = 40;

#[tokio::test]
async fn rows_are_written_for_hours_with_the_heartbeats_and_no_more_often() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/control.db?mode=rwc", folder.path().display());
    let store = Store::open(&url).await.unwrap();
    store.migrate(&url).await.unwrap();
    let registry = registry();
    tokio::time::pause();
    let member = registry.join(&process(1), &peer()).unwrap();
    let leaving = Hello { node_id: Uuid::from_u128(4), ..process(2) };
    let leaving = registry.join(&leaving, &peer()).unwrap();
    let mut follow = pin!(registry.clone().follow(store.clone(), CancellationToken::new()));
    let is_idle = || store.is_idle() && registry.shared.nodes.lock().changed.is_empty();
    for revision in 0..6 * HOUR {
        member.report(&Report::Heard(at(revision.into())));
        polls_in_steps(STEP, 1, POLLS_PER_STEP, follow.as_mut(), is_idle).await;
    }
    let row = async |id| {
        tokio::time::resume();
        let rows = store.data_planes().list().await.unwrap();
        tokio::time::pause();
        rows.into_iter().find(|row| row.id == Uuid::from_u128(id)).unwrap()
    };
    let first = row(3).await;
    assert_eq!((first.connected, first.applied_revision), (true, Some(i64::from(6 * HOUR) - 1)));
    assert!(row(4).await.connected, "the registry does not end sessions");

    drop(leaving);
    polls_in_steps(STEP, 1, POLLS_PER_STEP, follow.as_mut(), is_idle).await;
    assert!(!row(4).await.connected);
    // Without a heartbeat there is nothing to write.
    let polls = polls_in_steps(STEP, 6 * HOUR, 4 * u64::from(6 * HOUR), follow.as_mut(), is_idle).await;
    assert!(polls >= u64::from(6 * HOUR), "{polls}");
}
