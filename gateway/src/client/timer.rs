//! The timer of a connection or a stream, for all of its deadlines.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for several deadlines, of which the task waits for the earliest. It is created at the first wait,
/// and set again only when it fires too early or would fire too late: nothing is created or cancelled for each
/// request.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Waits until `deadline`. A task that waits for several deadlines at once must poll all of them whenever
    /// it wakes.
    pub(super) fn poll(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_deadline_is_met() {
        let (mut timer, begun) = (Timer::default(), Instant::now());
        // Later, earlier, and again later than the timer was set.
        for seconds in [10, 20, 21, 3600, 3601] {
            let deadline = begun + Duration::from_secs(seconds);
            let far = deadline + Duration::from_secs(3000);
            let mut polls = 0;
            poll_fn(|context| {
                polls += 1;
                let first = timer.poll(deadline, context);
                assert!(timer.poll(far, context).is_pending());
                first
            })
            .await;
            assert_eq!(begun.elapsed(), Duration::from_secs(seconds));
            assert!(polls <= 3, "{polls}");
        }
    }
}
