//! Replaces the running program by another one without losing a request.
//!
//! The running process (the predecessor) starts the program at its own path with the same arguments (the
//! successor). It hands over its listening sockets (see [`crate::listener::inherited`]), the keys of session
//! tickets, and a socket. On that socket the two agree, a byte at a time:
//!
//! | from | byte | meaning |
//! |---|---|---|
//! | successor | `P` | prepared: the configuration is valid, the listeners are open; requests the folder |
//! | predecessor | `F`, `E` | the folder is free: its sync agent and disk writer have ended; it serves with a table (`F`) or without one (`E`) |
//! | successor | `T` | requests the state of targets: their health, ejections and pins |
//! | predecessor | length (4 bytes), JSON | that state |
//! | successor | `C` | requests the counters of limits, last of all |
//! | predecessor | length (4 bytes), bytes | those counters |
//! | successor | `R` | ready: it has a table, and accepts connections |
//! | predecessor | `Y` | yours: the service manager was notified, the predecessor accepts no more |
//!
//! A predecessor that answers `T` says so by `LISTEN_TARGETS`, one that answers `C` by `LISTEN_COUNTERS`; a
//! successor need not ask. Requests that the predecessor serves after `C` count on its own counters alone.
//!
//! Two processes never write to the folder at the same time, and at every moment a process accepts
//! connections. Until `Y` the predecessor serves everything, with its table. If the successor ends, or does
//! not send `R` in time, the predecessor kills it and resumes its own agent. If the predecessor ends, the
//! successor takes over everything.

mod predecessor;
mod saved;
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
use crate::counting::clock::unix_millis;
use crate::counting::counters::Counters;
use crate::draining::Draining;
use crate::listener::Tickets;
use crate::live::Live;
use crate::notify;
use crate::upstream::balancer::Slots;

const PREPARED: u8 = b'P';
const FREE: u8 = b'F';
const FREE_AND_EMPTY: u8 = b'E';
const TARGETS: u8 = b'T';
const COUNTERS: u8 = b'C';
const READY: u8 = b'R';
const YOURS: u8 = b'Y';

/// The parts that a process hands over.
#[derive(Debug)]
pub struct Upgrade {
    listeners: Mutex<Vec<TcpListener>>,
    tickets: Arc<Tickets>,
    state: State,
    /// Ends the status listener of this process, so that it is not in the way of the successor's. Otherwise
    /// the listener stays until the end.
    status: Draining,
    agent: Arc<AgentThread>,
    live: Arc<Live>,
    ready_timeout: Duration,
}

/// The state that a successor may ask for.
#[derive(Debug)]
pub struct State {
    /// What is known of the addresses of targets.
    pub slots: Arc<Slots>,
    /// The counters of limits.
    pub counters: Arc<Counters>,
}

/// The result of an attempt.
#[derive(Debug)]
pub enum Attempt<T> {
    /// The successor serves.
    HandedOver,
    /// Nothing has changed; the log has the reason.
    Failed,
    /// Nothing has changed: this interrupted the attempt.
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
    /// Prepares to hand over these listeners and tickets, and this state. `status` ends the status
    /// listener of this process. A successor has `ready_timeout` to become ready.
    pub fn new(
        listeners: Vec<TcpListener>,
        tickets: Arc<Tickets>,
        state: State,
        status: Draining,
        agent: Arc<AgentThread>,
        live: Arc<Live>,
        ready_timeout: Duration,
    ) -> Self {
        Self { listeners: Mutex::new(listeners), tickets, state, status, agent, live, ready_timeout }
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

    /// Closes the listeners: no other process gets them, and new connections are refused.
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
            self.wait_until_ready(successor).await
        };
        timeout(self.ready_timeout, ready).await.unwrap_or(Err(UpgradeError::TooSlow(self.ready_timeout)))?;
        notify::main_is(successor.pid());
        successor.tell(YOURS).await
    }

    async fn wait_until_ready(&self, successor: &mut Successor) -> Result<(), UpgradeError> {
        loop {
            match successor.hear().await? {
                READY => return Ok(()),
                // The agent is paused, but requests go on: this is as late as it can be.
                TARGETS => successor.give(&saved::write(self.state.slots.export())).await?,
                COUNTERS => {
                    let counters = self.state.counters.clone();
                    let written = spawn_blocking(move || counters.export(unix_millis())).await;
                    successor.give(&written.unwrap_or_default()).await?;
                }
                _ => return Err(UpgradeError::Foreign),
            }
        }
    }

    /// Ends the successor and resumes the agent.
    async fn take_back(&self, successor: Successor) {
        successor.end().await;
        let agent = self.agent.clone();
        // On a disk that hangs the agent may not have paused yet, so nothing waits for it here.
        drop(spawn_blocking(move || agent.resume()));
    }

    fn failed<T>(error: &UpgradeError) -> Attempt<T> {
        error!("the upgrade failed, and this process goes on: {error}");
        notify::status(&format!("serving; the last upgrade failed: {error}"));
        Attempt::Failed
    }
}
