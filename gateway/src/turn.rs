//! The turn of a task among those that are ready. Knows nothing of what they do.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::task::yield_now;

/// Lets a task run behind those that are ready now.
///
/// The first of many streams that has something to write wakes the task of their connection, and tokio runs that
/// task next. It would write for this one stream: a system call and a record of TLS for each answer.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    yielded: bool,
}

impl Turn {
    /// Ready every second time. The first time lets others run: all that are ready, but at most some dozens
    /// before tokio looks for events again.
    pub(crate) fn poll_last(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.yielded = !self.yielded;
        if self.yielded { pin!(yield_now()).poll(context) } else { Poll::Ready(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn ready_tasks_come_first() {
        let (ran, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        for _ in 0..10 {
            let ran = ran.clone();
            tasks.spawn(async move { ran.fetch_add(1, Ordering::Relaxed) });
        }
        let mut turn = Turn::default();
        for _ in 0..2 {
            poll_fn(|context| turn.poll_last(context)).await;
            assert_eq!(ran.load(Ordering::Relaxed), 10);
        }
    }
}
