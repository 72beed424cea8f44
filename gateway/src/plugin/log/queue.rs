//! The terms of queues, of the `queue` record of a plugin.

use model::Number;
use model::plugins::queue::Queue;

use crate::delivery::QueueTerms;

/// Batches that are sent at a time where a configuration says "as many as there are".
const MOST_AT_A_TIME: usize = 64;

/// The terms of a queue with batches of this size and delay.
pub(in crate::plugin) fn terms(queue: &Queue, (batch, delay): (u32, Number)) -> QueueTerms {
    let usual = QueueTerms::default();
    let bytes = queue.max_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    QueueTerms {
        batch: batch.max(1) as usize,
        delay: delay.seconds(),
        entries: queue.max_entries.max(1) as usize,
        bytes: bytes.unwrap_or(usual.bytes),
        entry: usual.entry,
        retry_time: (queue.max_retry_time.get() >= 0.0).then(|| queue.max_retry_time.seconds()),
        first_delay: queue.initial_retry_delay.seconds(),
        longest_delay: queue.max_retry_delay.seconds(),
        concurrency: if queue.concurrency_limit < 0 { MOST_AT_A_TIME } else { 1 },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn defaults_are_the_same() {
        let queue = Queue::default();
        let terms = terms(&queue, (queue.max_batch_size, queue.max_coalescing_delay));
        assert_eq!(terms, QueueTerms::default());
    }

    #[test]
    fn retries_can_be_turned_off_and_batches_sent_together() {
        let queue = Queue {
            max_retry_time: Number::new(-1.0),
            concurrency_limit: -1,
            max_bytes: Some(5),
            ..Queue::default()
        };
        let terms = terms(&queue, (7, Number::new(0.5)));
        assert_eq!((terms.retry_time, terms.concurrency, terms.bytes), (None, MOST_AT_A_TIME, 5));
        assert_eq!((terms.batch, terms.delay), (7, Duration::from_millis(500)));
    }
}
