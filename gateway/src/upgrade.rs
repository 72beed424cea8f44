//! Another program in the place of the running one, without a request lost.
//!
//! The process in charge starts the program that now lies where it was started from, with the same
//! arguments, and gives it its listening sockets (see [`crate::listener::inherited`]), the keys of session
//! tickets, and a socket by which the two agree, a byte at a time:
//!
//! | from | byte | what it means |
//! |---|---|---|
//! | successor | `P` | prepared: the configuration is good, the listeners are there; may I have the folder? |
//! | predecessor | `F`, `E` | the folder is free: my sync agent and my disk writer have ended; I serve by a table (`F`) or have none either (`E`) |
//! | successor | `R` | ready: I have a table, and accept connections |
//! | predecessor | `Y` | yours: the service manager was told, I accept no more |
//!
//! At no moment do two processes write to the folder, and at no moment does nobody accept. Until `Y`
//! the predecessor serves everything, with the table that it had. Should the successor end, or not come to
//! `R` in time, it is killed, and the predecessor's agent goes on where it stopped. Should the predecessor
//! end, everything is the successor's.

mod predecessor;
mod successor;

use std::io;
use std::net::TcpListener;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{error, info, warn};

pub use self::predecessor::Predecessor;
use self::successor::Successor;
use crate::cluster::AgentThread;
use crate::drain::Draining;
use crate::listener::Tickets;
use crate::live::Live;
use crate::notify;

const PREPARED: u8 = b'P';
const FREE: u8 = b'F';
const FREE_AND_EMPTY: u8 = b'E';
const READY: u8 = b'R';
const YOURS: u8 = b'Y';

/// What a process has to hand over.
#[derive(Debug)]
pub struct Upgrade {
    listeners: Mutex<Vec<TcpListener>>,
    tickets: Arc<Tickets>,
    /// Of the status listener: it stays until the end, but not in the way of the successor's.
    status: Draining,
    agent: Arc<AgentThread>,
    live: Arc<Live>,
    ready_timeout: Duration,
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Attempt<T> {
    /// The successor serves.
    HandedOver,
    /// All is as it was; the log says why.
    Failed,
    /// All is as it was, since this came in between.
    Interrupted(T),
}

/// Why an upgrade failed.
#[derive(Debug, thiserror::Error)]
enum UpgradeError {
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("the new process has ended: {0}; its log says why")]
    Ended(ExitStatus),
    #[error("the new process was not ready within {0:?}")]
    TooSlow(Duration),
    #[error("the new process does not answer as one that takes over")]
    Foreign,
    #[error("cannot speak with the new process: {0}")]
    Socket(#[from] io::Error),
    #[error("the sync agent could not be paused")]
    Agent,
}

impl Upgrade {
    /// Hands over these listeners and tickets; `status` ends the status listener here. A successor has `ready_timeout` to
    /// get ready.
    pub fn new(
        listeners: Vec<TcpListener>,
        tickets: Arc<Tickets>,
        status: Draining,
        agent: Arc<AgentThread>,
        live: Arc<Live>,
        ready_timeout: Duration,
    ) -> Self {
        Self { listeners: Mutex::new(listeners), tickets, status, agent, live, ready_timeout }
    }

    /// Tries to hand over, until `interrupt`.
    pub async fn attempt<T>(&self, interrupt: impl Future<Output = T>) -> Attempt<T> {
        let started = Successor::start(&self.listeners.lock(), &self.tickets.export());
        let mut successor = match started {
            Ok(successor) => successor,
            Err(error) => return Self::failed(&error),
        };
        info!(pid = successor.pid(), "upgrade: the new process has started");
        let outcome = tokio::select! {
            outcome = self.hand_over(&mut successor) => outcome,
            told = interrupt => {
                warn!("told to stop while handing over: the new process is ended");
                self.take_back(successor).await;
                return Attempt::Interrupted(told);
            }
        };
        match outcome {
            Ok(()) => {
                info!(pid = successor.pid(), "upgrade: the new process serves, this one ends");
                self.close();
                self.status.begin();
                Attempt::HandedOver
            }
            Err(error) => {
                self.take_back(successor).await;
                Self::failed(&error)
            }
        }
    }

    /// Lets the listeners go: nobody else is to have them, and new connections are to be refused.
    pub fn close(&self) {
        self.listeners.lock().clear();
    }

    async fn hand_over(&self, successor: &mut Successor) -> Result<(), UpgradeError> {
        let ready = async {
            successor.expect(PREPARED).await?;
            let agent = self.agent.clone();
            let paused = spawn_blocking(move || agent.pause()).await;
            if !matches!(paused, Ok(true)) {
                return Err(UpgradeError::Agent);
            }
            let served = self.live.load().is_some();
            successor.tell(if served { FREE } else { FREE_AND_EMPTY }).await?;
            successor.expect(READY).await
        };
        timeout(self.ready_timeout, ready).await.unwrap_or(Err(UpgradeError::TooSlow(self.ready_timeout)))?;
        notify::main_is(successor.pid());
        successor.tell(YOURS).await
    }

    /// Ends the successor and lets the agent go on.
    async fn take_back(&self, successor: Successor) {
        successor.end().await;
        let agent = self.agent.clone();
        // On a disk that hangs the agent may not even have paused yet: nobody waits for it here.
        drop(spawn_blocking(move || agent.resume()));
    }

    fn failed<T>(error: &UpgradeError) -> Attempt<T> {
        error!("the upgrade failed, and this process goes on: {error}");
        notify::status(&format!("serving; the last upgrade failed: {error}"));
        Attempt::Failed
    }
}
