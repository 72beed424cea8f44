//! Listens for the signals of the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::{io, thread};

use node::exit::{self, ExitError};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::info;

use crate::line_files::LineFiles;

/// Requests of an operator or a service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// `SIGTERM`, `SIGQUIT`: stop once the requests in flight have ended.
    Stop,
    /// `SIGINT`: stop now.
    StopNow,
    /// `SIGUSR2`: hand over to the program that now stands at this one's path.
    Upgrade,
}

/// The signals that arrive from now on.
#[derive(Debug)]
pub struct Signals {
    told: mpsc::UnboundedReceiver<StopSignal>,
    started: Arc<AtomicBool>,
    /// What opens its files again at a signal.
    reopens: Arc<OnceLock<Arc<LineFiles>>>,
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
    /// Listens on a thread of its own. Pingora has a runtime for it only when the listeners are open, and a
    /// signal before that would end the process with an error. Call this before anything else is started.
    ///
    /// # Errors
    /// When the system provides no thread, or not the other resources that the thread needs.
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
        let reopens = Arc::<OnceLock<Arc<LineFiles>>>::default();
        let files = reopens.clone();
        let forward = async move {
            loop {
                let told = handlers.next(&files).await;
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
        Ok(Self { told, started, reopens })
    }

    /// Notes that this process serves: from now on a signal to stop waits for requests. Before, a signal ends
    /// the process at once, at any step of the start.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Opens these files again at `SIGUSR1` and `SIGHUP`.
    pub fn reopen(&self, files: Arc<LineFiles>) {
        self.reopens.set(files).ok();
    }

    pub(crate) async fn next(&mut self) -> StopSignal {
        match self.told.recv().await {
            Some(told) => told,
            // The thread lives as long as this does.
            None => std::future::pending().await,
        }
    }

    /// Waits for the next signal to stop.
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

    async fn next(&mut self, files: &OnceLock<Arc<LineFiles>>) -> StopSignal {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return StopSignal::Stop,
                _ = self.quit.recv() => return StopSignal::Stop,
                _ = self.interrupt.recv() => return StopSignal::StopNow,
                _ = self.upgrade.recv() => return StopSignal::Upgrade,
                // By default these signals would end the process.
                _ = self.hangup.recv() => {
                    info!(
                        "SIGHUP: opening files of logs again; certificates are read again by themselves, for \
                         other keys send SIGUSR2"
                    );
                    files.get().iter().for_each(|files| files.reopen());
                }
                _ = self.user.recv() => {
                    info!("SIGUSR1: opening files of logs again");
                    files.get().iter().for_each(|files| files.reopen());
                }
                _ = self.alarm.recv() => info!("SIGALRM ignored"),
            }
        }
    }
}
