//! Counts the turns of a loop under a paused clock: a loop that spins turns without end, while time stands
//! still.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
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

/// The real time between two looks at a future that other threads work for.
const LOOK: Duration = Duration::from_micros(200);
/// Looks without a change after which a step is over.
const QUIET: u32 = 3;

/// Moves a paused clock by `steps` steps of `step`, with the future of a loop that waits for other threads: a
/// database's, for example. Left to itself a paused clock runs ahead of them, and every timeout passes. After
/// each step the future runs until it waits and `is_idle` says that no thread works for it. Returns how often
/// it was polled.
///
/// # Panics
///
/// The future ends, or is polled more than `most` times.
pub async fn polls_in_steps(
    step: Duration,
    steps: u32,
    most: u64,
    mut future: Pin<&mut impl Future>,
    is_idle: impl Fn() -> bool,
) -> u64 {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Arc::clone(&woken).into();
    // The clock stands still while a blocking task runs.
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let standing = tokio::task::spawn_blocking(move || ended.recv().is_err());
    let mut polls = 0;
    for at in 0..steps {
        tokio::time::advance(step).await;
        let mut quiet = 0;
        while quiet < QUIET {
            if woken.0.swap(false, Ordering::Relaxed) {
                polls += 1;
                assert!(polls <= most, "polled {polls} times within {:?}", step * (at + 1));
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending(), "it has ended after {:?}", step * (at + 1));
                quiet = 0;
            } else {
                quiet = if is_idle() { quiet + 1 } else { 0 };
                tokio::task::spawn_blocking(|| std::thread::sleep(LOOK)).await.expect("it does not panic");
            }
        }
    }
    drop(end);
    assert!(standing.await.expect("it does not panic"), "nothing is sent to it");
    polls
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
