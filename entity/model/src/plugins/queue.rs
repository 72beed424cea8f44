//! The record `queue` of plugins that report to a collector.

use model_derive::Record;

use crate::record::Check;
use crate::types::Number;

/// The most entries of a batch, and of a queue.
const MOST: i64 = 1_000_000;
/// The greatest delay, in seconds.
const LONGEST: f64 = 1_000_000.0;

/// Declares the record, which differs between plugins in the default of `max_batch_size`.
macro_rules! queues {
    ($($(#[$doc:meta])* $name:ident: $batch:literal,)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Record)]
        pub struct $name {
            /// The most entries of a batch.
            #[field(default = $batch, between(1, MOST))]
            pub max_batch_size: u32,
            /// How many seconds a batch waits for more entries.
            #[field(default = Number::whole(1), between(0, 3600))]
            pub max_coalescing_delay: Number,
            /// The most entries that wait. The oldest are dropped for new ones.
            #[field(default = 10_000, between(1, MOST))]
            pub max_entries: u32,
            /// The most bytes that wait; null: 64 MiB.
            #[field(between(1, i64::MAX))]
            pub max_bytes: Option<i64>,
            /// For how many seconds a batch is tried again; -1: not at all.
            #[field(default = Number::whole(60))]
            pub max_retry_time: Number,
            /// The seconds before the second attempt. They double with each further one.
            #[field(default = Number::new(0.01), number = delay)]
            pub initial_retry_delay: Number,
            /// The most seconds between two attempts.
            #[field(default = Number::whole(60), number = delay)]
            pub max_retry_delay: Number,
            /// Batches that are sent at a time: 1, or -1 for as many as there are.
            #[field(default = 1, one_of(&[1, -1]))]
            pub concurrency_limit: i32,
        }

        impl Check for $name {})*
    };
}

queues! {
    /// How entries of a log are gathered, kept and sent again.
    Queue: 1,
    /// How spans are gathered, kept and sent again.
    SpanQueue: 200,
}

impl From<SpanQueue> for Queue {
    fn from(queue: SpanQueue) -> Self {
        Self {
            max_batch_size: queue.max_batch_size,
            max_coalescing_delay: queue.max_coalescing_delay,
            max_entries: queue.max_entries,
            max_bytes: queue.max_bytes,
            max_retry_time: queue.max_retry_time,
            initial_retry_delay: queue.initial_retry_delay,
            max_retry_delay: queue.max_retry_delay,
            concurrency_limit: queue.concurrency_limit,
        }
    }
}

fn delay(seconds: f64) -> Result<(), String> {
    if (0.001..=LONGEST).contains(&seconds) {
        Ok(())
    } else {
        Err("value should be between 0.001 and 1000000".into())
    }
}
