//! Runs the sync agent on its own thread and runtime, so that an update never delays a worker.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Agent;
use crate::live;

/// The agent on its thread. It can be paused, which releases the state folder to another process, and
/// resumed.
#[derive(Debug)]
pub struct AgentThread {
    state: Mutex<AgentState>,
    /// Cancelled when the agent ends by itself.
    fault: CancellationToken,
}

#[derive(Debug)]
enum AgentState {
    Running(CancellationToken, JoinHandle<Agent>),
    Paused(Box<Agent>),
    /// It has panicked, or its thread could not be started.
    Gone,
}

impl AgentThread {
    /// Starts the agent. `fault` is cancelled if the agent ends by itself.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn start(agent: Agent, fault: CancellationToken) -> io::Result<Self> {
        let state = Mutex::new(spawn(agent, fault.clone())?);
        Ok(Self { state, fault })
    }

    /// Stops the agent and waits until it has closed its session and released the folder; returns whether it
    /// did.
    pub fn pause(&self) -> bool {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut *state, AgentState::Gone);
        *state = match before {
            AgentState::Running(stop, thread) => {
                stop.cancel();
                thread.join().map_or(AgentState::Gone, |agent| AgentState::Paused(Box::new(agent)))
            }
            other => other,
        };
        matches!(&*state, AgentState::Paused(agent) if agent.has_left_folder())
    }

    /// Resumes a paused agent where it stopped.
    pub fn resume(&self) {
        let mut state = self.state.lock();
        let before = std::mem::replace(&mut *state, AgentState::Gone);
        *state = match before {
            AgentState::Paused(mut agent) => {
                agent.reopen();
                spawn(*agent, self.fault.clone()).unwrap_or_else(|error| {
                    error!("cannot start the sync agent again: {error}");
                    self.fault.cancel();
                    AgentState::Gone
                })
            }
            other => other,
        };
    }

    /// Stops the agent for good, and waits at most `timeout` for it.
    pub fn stop(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        // A concurrent pause holds the lock for as long as its disk takes.
        let Some(mut state) = self.state.try_lock_for(timeout) else { return late(timeout) };
        let AgentState::Running(stop, thread) = std::mem::replace(&mut *state, AgentState::Gone) else {
            return;
        };
        stop.cancel();
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            late(timeout);
        } else if thread.join().is_err() {
            error!("the sync agent has panicked");
        }
    }
}

fn late(timeout: Duration) {
    warn!("the sync agent has not ended within {timeout:?}");
}

fn spawn(mut agent: Agent, fault: CancellationToken) -> io::Result<AgentState> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Updates are applied, and trees of any depth freed, on its threads.
        .thread_stack_size(live::STACK)
        .build()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let run = move || {
        // Cancelled when the thread ends, by a panic too.
        let ended = fault.drop_guard();
        runtime.block_on(agent.run(&stopped));
        if stopped.is_cancelled() {
            ended.disarm();
        }
        agent
    };
    let thread = thread::Builder::new().name("sync-agent".to_owned()).stack_size(live::STACK).spawn(run)?;
    Ok(AgentState::Running(stop, thread))
}
