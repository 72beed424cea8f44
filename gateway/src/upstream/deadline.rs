//! The time within which a connection must make progress.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The time of the last progress, and one timer. The timer is made when something is first waited for. Progress
/// does not touch it: when it fires too early, it is set again.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    timer: Option<Pin<Box<Sleep>>>,
    progress: u64,
    since: Option<Instant>,
}

impl Deadline {
    /// Forgets earlier progress: the time begins with the next wait.
    pub(super) fn restart(&mut self) {
        self.since = None;
    }

    /// Waits until nothing has changed `progress` for `limit`. To be called with each wait.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, progress: u64, limit: Duration) -> Poll<()> {
        if self.progress != progress {
            (self.progress, self.since) = (progress, None);
        }
        let end = *self.since.get_or_insert_with(Instant::now) + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() > end {
            timer.as_mut().reset(end);
        }
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= end {
                return Poll::Ready(());
            }
            timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn wait(deadline: &mut Deadline, progress: u64, limit: Duration) -> Duration {
        let begun = Instant::now();
        poll_fn(|context| deadline.poll(context, progress, limit)).await;
        // The timer of tokio has a resolution of a millisecond.
        Duration::from_secs((begun.elapsed() + SECOND / 2).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn time_counts_from_the_last_progress() {
        let mut deadline = Deadline::default();
        assert_eq!(wait(&mut deadline, 0, 10 * SECOND).await, 10 * SECOND);
        // Nothing came in between.
        assert_eq!(wait(&mut deadline, 0, 10 * SECOND).await, Duration::ZERO);
        for progress in 1..1000 {
            let early = timeout(9 * SECOND, wait(&mut deadline, progress, 10 * SECOND)).await;
            assert!(early.is_err(), "{progress}");
        }
        assert_eq!(wait(&mut deadline, 999, 10 * SECOND).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn shorter_limit_comes_first_and_longer_one_later() {
        let mut deadline = Deadline::default();
        assert!(timeout(SECOND, wait(&mut deadline, 1, 3600 * SECOND)).await.is_err());
        assert_eq!(wait(&mut deadline, 1, 5 * SECOND).await, 4 * SECOND);
        assert_eq!(wait(&mut deadline, 1, 20 * SECOND).await, 15 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn restart_forgets_the_time_between_exchanges() {
        let mut deadline = Deadline::default();
        assert!(timeout(SECOND, wait(&mut deadline, 1, 10 * SECOND)).await.is_err());
        advance(3600 * 24 * SECOND).await;
        deadline.restart();
        assert_eq!(wait(&mut deadline, 1, 10 * SECOND).await, 10 * SECOND);
    }
}
