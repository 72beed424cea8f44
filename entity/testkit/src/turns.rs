//! Counting the turns of a loop under a paused clock: a loop that spins turns without end, while time stands.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

/// Runs `future` for `time` of a paused clock, which it must outlast, and answers how often it was polled.
///
/// # Panics
///
/// When it ends before that, or is polled more than `most` times.
pub async fn polls_within(time: Duration, most: u64, future: impl Future) -> u64 {
    let begun = Instant::now();
    let (mut future, mut end) = (pin!(future), pin!(tokio::time::sleep(time)));
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        polls += 1;
        let passed = begun.elapsed();
        assert!(polls <= most, "polled {polls} times within {passed:?}");
        assert!(future.as_mut().poll(cx).is_pending(), "it has ended after {passed:?}");
        // Not within the future's own budget: one that spins would keep the end from being seen.
        if begun.elapsed() >= time { Poll::Ready(()) } else { end.as_mut().poll(cx) }
    })
    .await;
    polls
}
