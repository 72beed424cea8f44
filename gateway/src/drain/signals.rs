//! The signals that the program listens for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, thread};

use node::exit::{self, ExitError};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::info;

/// What an operator, or a service manager, asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// `SIGTERM`, `SIGQUIT`: stop once the requests in flight have ended.
    Stop,
    /// `SIGINT`: stop now.
    StopNow,
    /// `SIGUSR2`: hand over to the program that now lies where this one was started from.
    Upgrade,
}

/// What comes from now on.
#[derive(Debug)]
pub struct Signals {
    told: mpsc::UnboundedReceiver<StopSignal>,
    started: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Handlers {
    hangup: Signal,
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    upgrade: Signal,
    user: Signal,
    alarm: Signal,
}

impl Signals {
    /// Listens, on a thread of its own: Pingora has a runtime for it only when the listeners are open, and a
    /// signal in between would end the process with an error. To be called before anything else is started.
    ///
    /// # Errors
    /// When the system gives no thread, or none of what else that takes.
    pub fn listen() -> Result<Self, ExitError> {
        Self::try_listen().map_err(|error| ExitError::internal(format!("cannot listen for signals: {error}")))
    }

    fn try_listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let mut handlers = {
            let _entered = runtime.enter();
            Handlers::install()?
        };
        let (tell, told) = mpsc::unbounded_channel();
        let started = Arc::new(AtomicBool::new(false));
        let serves = started.clone();
        let forward = async move {
            loop {
                let told = handlers.next().await;
                if told != StopSignal::Upgrade && !serves.load(Ordering::Acquire) {
                    info!("stopping: this process has not begun to serve");
                    exit::end_at_once();
                }
                if tell.send(told).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(forward))?;
        Ok(Self { told, started })
    }

    /// From now on this process serves: a signal to stop waits for requests. Before, it ends the process at
    /// once, whatever step of the start is under way.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(crate) async fn next(&mut self) -> StopSignal {
        match self.told.recv().await {
            Some(told) => told,
            // The thread lives as long as this does.
            None => std::future::pending().await,
        }
    }

    /// The next signal to stop.
    pub(super) async fn stop(&mut self) -> StopSignal {
        loop {
            match self.next().await {
                StopSignal::Upgrade => info!("SIGUSR2 ignored: this process is handing over, or stopping"),
                told => return told,
            }
        }
    }
}

impl Handlers {
    fn install() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            upgrade: signal(SignalKind::user_defined2())?,
            user: signal(SignalKind::user_defined1())?,
            alarm: signal(SignalKind::alarm())?,
        })
    }

    async fn next(&mut self) -> StopSignal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return StopSignal::Stop,
                _ = self.quit.recv() => return StopSignal::Stop,
                _ = self.interrupt.recv() => return StopSignal::StopNow,
                _ = self.upgrade.recv() => return StopSignal::Upgrade,
                // The default of these would be the end of the process.
                _ = self.hangup.recv() => info!(
                    "SIGHUP ignored: certificates are read again by themselves, for other keys send SIGUSR2"
                ),
                _ = self.user.recv() => info!("SIGUSR1 ignored: the log is a stream, there is no file to reopen"),
                _ = self.alarm.recv() => info!("SIGALRM ignored"),
            }
        }
    }
}
