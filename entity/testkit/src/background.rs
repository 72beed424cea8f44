//! A thread with a runtime of its own, so that a fake keeps running while the test blocks.

use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// A task on a thread and runtime of its own. Dropping it ends the task with all that it spawned, and waits
/// for that.
#[derive(Debug)]
pub struct Background(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Background {
    /// Runs the future that `make` returns. `make` runs on that runtime, so that its sockets belong to it.
    ///
    /// # Panics
    ///
    /// On the new thread, when no runtime can be made.
    pub fn run<F: Future<Output = ()>>(make: impl FnOnce() -> F + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                tokio::select! {
                    () = make() => {}
                    _ = stopped => {}
                }
            });
        });
        Self(Some((stop, thread)))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            // An error means that the task has ended already.
            stop.send(()).ok();
            thread.join().ok();
        }
    }
}
