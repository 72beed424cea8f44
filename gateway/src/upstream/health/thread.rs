//! The thread of the prober: probes never delay a request, and requests never delay a probe.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::prober::ProbeRunner;

/// Time between two looks at a thread that is to end.
const LOOK: Duration = Duration::from_millis(5);

/// A thread that runs probes.
#[derive(Debug)]
pub struct ProbeThread {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl ProbeThread {
    /// Starts to run probes, and `others` beside them. `fault` is cancelled if the probes end by themselves.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn start(
        runner: ProbeRunner,
        others: impl Future<Output = ()> + Send + 'static,
        fault: CancellationToken,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = move || {
            // Cancelled when the thread ends, by a panic too.
            let ended = fault.drop_guard();
            runtime.spawn(others);
            runtime.block_on(runner.run(&stopped));
            ended.disarm();
        };
        let thread = thread::Builder::new().name("prober".to_owned()).spawn(run)?;
        Ok(Self { stop, thread })
    }

    /// Stops all probes, and waits at most `timeout` for the end of the thread.
    pub fn stop(self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        self.stop.cancel();
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        if !self.thread.is_finished() {
            warn!("the prober has not ended within {timeout:?}");
        } else if self.thread.join().is_err() {
            error!("the prober has panicked");
        }
    }
}
