//! The thread that sends entries: a collector never delays a request, and requests never delay a collector.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::queues::Queues;
use super::sender::{self, Sending};
use crate::outbound::Outbound;

/// Time between two looks at a thread that is to end.
const LOOK: Duration = Duration::from_millis(5);

/// A thread that sends the entries of all queues.
#[derive(Debug)]
pub struct DeliveryThread {
    queues: Arc<Queues>,
    stopping: CancellationToken,
    thread: JoinHandle<()>,
}

impl DeliveryThread {
    /// Starts to send the entries of `queues`. The connections of `outbound` must be for this thread alone.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn start(queues: Arc<Queues>, outbound: Arc<Outbound>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stopping = CancellationToken::new();
        let sending = Sending { queues: queues.clone(), outbound, stopping: stopping.clone() };
        let run = move || runtime.block_on(run(sending));
        let thread = thread::Builder::new().name("delivery".to_owned()).spawn(run)?;
        Ok(Self { queues, stopping, thread })
    }

    /// Sends what is left, for at most `timeout`, and ends the thread. Entries that are still left are lost.
    pub fn stop(self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        self.stopping.cancel();
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let lost = self.queues.end();
        if !self.thread.is_finished() {
            warn!(lost, "collectors did not take all entries within {timeout:?}");
        } else if self.thread.join().is_err() {
            error!("the thread that sends entries to collectors has panicked");
        }
    }
}

/// Sends the entries of all queues until the program ends, and then those that are left.
pub(super) async fn run(sending: Sending) {
    let Some(mut unstarted) = sending.queues.take_unstarted() else { return };
    let mut senders = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            begun = unstarted.recv() => match begun {
                Some((key, queue)) => drop(senders.spawn(sender::run(sending.clone(), key, queue))),
                None => break,
            },
            Some(ended) = senders.join_next() => if ended.is_err() {
                error!("the sender of a queue has panicked");
            },
            () = sending.stopping.cancelled() => break,
        }
    }
    while let Some(ended) = senders.join_next().await {
        if ended.is_err() {
            error!("the sender of a queue has panicked");
        }
    }
}
