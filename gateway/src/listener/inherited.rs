//! Listening sockets that another process has bound: the predecessor in an upgrade (see [`crate::upgrade`]),
//! or systemd by socket activation.
//!
//! Both pass them as the descriptors from 3 on, `LISTEN_FDS` of them. systemd names the receiving process in
//! `LISTEN_PID`. A predecessor cannot know that number before the process exists, and names itself in
//! `LISTEN_PREDECESSOR`. Its last descriptor is no listener but the socket on which the two processes
//! communicate. If it sets `LISTEN_TICKETS`, the descriptor before that is a socket with the keys of session
//! tickets.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use listenfd::ListenFd;
use nix::libc::{AF_UNIX, SOCK_STREAM};
use tracing::warn;

/// The variable with the process id of the predecessor.
pub const PREDECESSOR: &str = "LISTEN_PREDECESSOR";
/// The variable that announces keys of session tickets.
pub const TICKETS: &str = "LISTEN_TICKETS";
/// The variable with the process id of a predecessor that gives the state of targets to its successor.
pub const TARGETS: &str = "LISTEN_TARGETS";
/// The variable with the process id of a predecessor that gives the counters of limits to its successor.
pub const COUNTERS: &str = "LISTEN_COUNTERS";
/// The variable with the number of descriptors.
pub const COUNT: &str = "LISTEN_FDS";
/// The variable with the process that receives systemd's descriptors.
pub const FOR: &str = "LISTEN_PID";
/// The first inherited descriptor.
pub const FIRST: i32 = 3;

/// The inherited descriptors. Those that are not taken are closed when this is dropped.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<(SocketAddr, TcpListener)>,
    predecessor: Option<UnixStream>,
    tickets: Option<UnixStream>,
}

impl Inherited {
    /// Takes the descriptors that the environment names. Call this once, before anything else opens
    /// descriptors.
    pub fn take() -> Self {
        let follows = match std::env::var(PREDECESSOR) {
            Err(_) => false,
            Ok(parent) if parent == std::os::unix::process::parent_id().to_string() => true,
            // For a process between that one and this.
            Ok(_) => return Self::default(),
        };
        let mut found = ListenFd::from_env();
        let last = found.len().checked_sub(1).filter(|_| follows);
        let tickets =
            last.and_then(|last| last.checked_sub(1)).filter(|_| std::env::var_os(TICKETS).is_some());
        let mut inherited = Self::default();
        for index in 0..found.len() {
            if Some(index) == last {
                let socket = found.take_custom(index, AF_UNIX, SOCK_STREAM, "socket of a predecessor");
                inherited.predecessor = given(socket);
            } else if Some(index) == tickets {
                let socket = found.take_custom(index, AF_UNIX, SOCK_STREAM, "socket with keys of tickets");
                inherited.tickets = given(socket);
            } else if let Some(listener) = given(found.take_tcp_listener(index)) {
                inherited.add(listener);
            }
        }
        inherited
    }

    /// The listener on exactly this address, if there is one.
    pub fn listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.listeners.iter().position(|(bound, _)| *bound == address)?;
        Some(self.listeners.swap_remove(at).1)
    }

    /// The socket to the predecessor, if there is one.
    pub fn predecessor(&mut self) -> Option<UnixStream> {
        self.predecessor.take()
    }

    /// Whether the predecessor gives the state that this variable announces.
    pub fn gives(&self, variable: &str) -> bool {
        // An older program between that one and this hands the variable on, but gives nothing.
        let parent = std::os::unix::process::parent_id().to_string();
        self.predecessor.is_some() && std::env::var(variable).is_ok_and(|giver| giver == parent)
    }

    /// The socket with the keys of session tickets, if they were handed over.
    pub fn tickets(&mut self) -> Option<UnixStream> {
        self.tickets.take()
    }

    /// Closes the descriptors that were not taken.
    pub fn close_rest(self) {
        for (address, _) in self.listeners {
            warn!(%address, "an inherited listener is closed: the configuration does not name its address");
        }
    }

    fn add(&mut self, listener: TcpListener) {
        match listener.local_addr() {
            Ok(address) => self.listeners.push((address, listener)),
            Err(error) => warn!("an inherited listener cannot be used: {error}"),
        }
    }
}

fn given<T>(taken: std::io::Result<Option<T>>) -> Option<T> {
    taken.unwrap_or_else(|error| {
        warn!("an inherited descriptor cannot be used: {error}");
        None
    })
}
