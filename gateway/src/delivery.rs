//! Delivers what plugins report to collectors outside of this process: entries of logs, spans, counters.
//!
//! A request appends an entry to a [queue](Queues) and goes on. One thread sends the entries, in batches, and tries
//! again when a collector does not take them. A queue belongs to a plugin with one configuration: the same
//! configuration pushed again finds its queue as it was, and another one begins a queue of its own, while the
//! entries of the first are still sent. A queue without entries ends.
//!
//! Queues, each queue, and each entry have bounds. Entries beyond them are dropped and counted: a collector that
//! does not answer costs entries and no request.

pub mod collector;
mod memory;
mod queue;
mod queues;
mod sender;
mod terms;
#[cfg(test)]
mod tests;
mod thread;

pub use self::collector::{Collector, DeliveryFailure};
pub use self::queues::{QueueKey, Queues};
pub use self::terms::QueueTerms;
pub use self::thread::DeliveryThread;
