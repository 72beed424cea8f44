//! The thread of the connections: they outlive the requests, and the configuration that began them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::error;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tasks on a thread of their own, which begins with the first one. They end with this value.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    sender: Mutex<Option<mpsc::UnboundedSender<Task>>>,
    running: Arc<AtomicUsize>,
}

/// A value with the task that belongs to it.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) value: Arc<T>,
    _task: DropGuard,
    /// Nobody wanted it the last time, either.
    unwanted: bool,
}

impl Tasks {
    /// Runs a task, until the result is dropped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> DropGuard {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        self.run(async move {
            stopped.run_until_cancelled(task).await;
        });
        stop.drop_guard()
    }

    /// Runs a task to its end.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let running = Running::new(&self.running);
        let task = async move {
            let _running = running;
            task.await;
        };
        let mut sender = self.sender.lock();
        let sender = sender.get_or_insert_with(start);
        if sender.send(Box::pin(task)).is_err() {
            error!("the thread of redis has ended");
        }
    }

    /// How many tasks there are.
    pub(super) fn len(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

impl<T> Kept<T> {
    pub(super) fn new(value: Arc<T>, task: DropGuard) -> Self {
        Self { value, _task: task, unwanted: false }
    }

    /// Whether anybody but the task has it, or had it the last time: what a configuration begins outlives the
    /// change to the next one.
    pub(super) fn is_wanted(&mut self) -> bool {
        const OWN: usize = 2;
        let unwanted = Arc::strong_count(&self.value) <= OWN;
        !(std::mem::replace(&mut self.unwanted, unwanted) && unwanted)
    }
}

/// Counts a task while it lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts the thread. Without one the tasks are dropped, and the servers seem away.
fn start() -> mpsc::UnboundedSender<Task> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let started = Builder::new_current_thread().enable_all().build().and_then(|runtime| {
        std::thread::Builder::new().name("redis".to_owned()).spawn(move || runtime.block_on(run(receiver)))
    });
    if let Err(error) = started {
        error!("cannot start the thread of redis: {error}");
    }
    sender
}

async fn run(mut tasks: mpsc::UnboundedReceiver<Task>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            task = tasks.recv() => match task {
                Some(task) => drop(running.spawn(task)),
                None => return,
            },
            Some(_) = running.join_next() => {}
        }
    }
}
