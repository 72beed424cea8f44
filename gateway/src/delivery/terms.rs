//! How a queue gathers, keeps and repeats: Kong's `queue` record.

use std::time::Duration;

/// The most bytes that wait in a queue whose configuration sets no bound.
const MOST_BYTES: usize = 64 << 20;

/// How a queue gathers, keeps and repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueTerms {
    /// The most entries of a batch, at least 1.
    pub batch: usize,
    /// How long a batch waits for more entries.
    pub delay: Duration,
    /// The most entries that wait. The oldest are dropped for new ones.
    pub entries: usize,
    /// The most bytes of entries that wait.
    pub bytes: usize,
    /// The most bytes of one entry. A longer one is dropped.
    pub entry: usize,
    /// How long a batch is tried again; `None`: it is tried once.
    pub retry_time: Option<Duration>,
    /// The delay of the second attempt. It doubles with each further one.
    pub first_delay: Duration,
    /// The longest delay of an attempt.
    pub longest_delay: Duration,
    /// Batches that are sent at a time.
    pub concurrency: usize,
}

impl QueueTerms {
    /// The terms of plugins that have no `queue` record: what is there is sent at once.
    pub fn at_once(batch: usize) -> Self {
        Self { batch, delay: Duration::ZERO, ..Self::default() }
    }
}

/// Kong's defaults.
impl Default for QueueTerms {
    fn default() -> Self {
        Self {
            batch: 1,
            delay: Duration::from_secs(1),
            entries: 10_000,
            bytes: MOST_BYTES,
            entry: usize::MAX,
            retry_time: Some(Duration::from_secs(60)),
            first_delay: Duration::from_millis(10),
            longest_delay: Duration::from_secs(60),
            concurrency: 1,
        }
    }
}
