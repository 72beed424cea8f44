//! The signals that the program handles. By default, each would end the process amid requests.

use node::exit::ExitError;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// Receivers of signals.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
    alarm: Signal,
}

impl Signals {
    /// Starts to listen; must be called before other parts start.
    pub(crate) fn listen() -> Result<Self, ExitError> {
        let listen = |kind| {
            signal(kind).map_err(|error| ExitError::internal(format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
            user2: listen(SignalKind::user_defined2())?,
            alarm: listen(SignalKind::alarm())?,
        })
    }

    /// Waits for a signal to stop.
    pub(crate) async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => info!("SIGHUP ignored: changed files are noticed without it"),
                _ = self.user1.recv() => info!("SIGUSR1 ignored: the log is a stream, there is no file to reopen"),
                _ = self.user2.recv() => info!("SIGUSR2 ignored: start another control plane beside this one to upgrade"),
                _ = self.alarm.recv() => info!("SIGALRM ignored"),
            }
        }
    }
}
