//! A configuration that is held back for hours of a paused clock, until an operator confirms it.

use std::cell::Cell;
use std::pin::pin;

use testkit::turns::polls_in_steps;

use super::*;

const STEP: Duration = Duration::from_secs(30);
/// The steps of twelve hours.
const STEPS: u32 = 1440;
/// A step wakes the publisher once, which reads the head and the confirmation.
const POLLS_PER_STEP: u64 = 60;

#[tokio::test]
async fn held_back_for_hours_it_is_sent_after_the_confirmation_and_not_before() {
    let stage = Stage::new().await;
    let fleet = stage.head();
    stage.empty().await;
    tokio::time::pause();
    let sent = Cell::new(None);
    let publisher = stage.publisher.clone();
    let mut both = pin!(async {
        let data_plane = async {
            sent.set(publisher.update_from(Some(fleet)).await);
            std::future::pending::<()>().await;
        };
        tokio::join!(publisher.clone().follow(CancellationToken::new()), data_plane)
    });
    let is_idle = || stage.store.is_idle();
    polls_in_steps(STEP, STEPS, POLLS_PER_STEP * u64::from(STEPS), both.as_mut(), is_idle).await;
    assert!(stage.is_held_back() && sent.take().is_none());

    // By another control plane, or by the command.
    tokio::time::resume();
    confirm(&stage.store).await.unwrap();
    tokio::time::pause();
    polls_in_steps(STEP, 2, 4 * POLLS_PER_STEP, both.as_mut(), is_idle).await;
    assert!(!stage.is_held_back());
    let update = sent.take().expect("the data plane gets it");
    assert_eq!(update.header.position(), stage.head());
}
