//! Counts the turns of a loop under a paused clock: a loop that spins turns without end, while time stands
//! still.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// Runs `future` for `time` of a paused clock, and returns how often it was polled.
///
/// # Panics
///
/// The future ends before that, or is polled more than `most` times.
pub async fn polls_within(time: Duration, most: u64, future: impl Future) -> u64 {
    let begun = Instant::now();
    let (mut future, mut end) = (pin!(future), pin!(tokio::time::sleep(time)));
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        polls += 1;
        let passed = begun.elapsed();
        assert!(polls <= most, "polled {polls} times within {passed:?}");
        assert!(future.as_mut().poll(cx).is_pending(), "it has ended after {passed:?}");
        // Outside the future's own budget: a future that spins would hide the end.
        if begun.elapsed() >= time { Poll::Ready(()) } else { end.as_mut().poll(cx) }
    })
    .await;
    polls
}
