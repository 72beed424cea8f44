//! The signals that the program listens for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// What an operator, or a service manager, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// `SIGTERM`, `SIGQUIT`: stop once the requests in flight have ended.
    Stop,
    /// `SIGINT`: stop now.
    StopNow,
    /// `SIGUSR2`: hand over to the program that now lies where this one was started from.
    Upgrade,
}

#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    pub(super) async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Told::Stop,
                _ = self.quit.recv() => return Told::Stop,
                _ = self.interrupt.recv() => return Told::StopNow,
                _ = self.upgrade.recv() => return Told::Upgrade,
                // Its default would be the end of the process.
                _ = self.hangup.recv() => info!(
                    "SIGHUP ignored: certificates are read again by themselves, for other keys send SIGUSR2"
                ),
            }
        }
    }

    /// The next signal to stop.
    pub(super) async fn stop(&mut self) -> Told {
        loop {
            match self.next().await {
                Told::Upgrade => info!("SIGUSR2 ignored: this process is handing over, or stopping"),
                told => return told,
            }
        }
    }
}
