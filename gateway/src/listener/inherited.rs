//! Listening sockets that this process did not bind: those of the process that it follows (see
//! [`crate::upgrade`]), or those of systemd's socket activation.
//!
//! Both come the same way: as the descriptors from 3 on, `LISTEN_FDS` of them. systemd names the process
//! that they are for in `LISTEN_PID`. A predecessor cannot know that number before the process is there,
//! and names itself in `LISTEN_PREDECESSOR`; its last descriptor is no listener but the socket by which
//! the two speak. Where it sets `LISTEN_TICKETS`, the one before is a socket that holds the keys of session
//! tickets.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use listenfd::ListenFd;
use nix::libc::{AF_UNIX, SOCK_STREAM};
use tracing::warn;

/// The variable that names the process that is followed.
pub const PREDECESSOR: &str = "LISTEN_PREDECESSOR";
/// The variable that says that keys of session tickets are handed over.
pub const TICKETS: &str = "LISTEN_TICKETS";
/// The variable with the number of descriptors.
pub const COUNT: &str = "LISTEN_FDS";
/// The variable with the process that systemd's descriptors are for.
pub const FOR: &str = "LISTEN_PID";
/// The first descriptor that is handed over.
pub const FIRST: i32 = 3;

/// What this process was given. What is not taken is closed when this is dropped.
#[derive(Debug, Default)]
pub struct Inherited {
    listeners: Vec<(SocketAddr, TcpListener)>,
    predecessor: Option<UnixStream>,
    tickets: Option<UnixStream>,
}

impl Inherited {
    /// Takes what the environment names. To be called once, before anything else opens descriptors.
    pub fn take() -> Self {
        let follows = match std::env::var(PREDECESSOR) {
            Err(_) => false,
            Ok(parent) if parent == std::os::unix::process::parent_id().to_string() => true,
            // Meant for a process between that one and this.
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

    /// The listener on this very address, if there is one.
    pub fn listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.listeners.iter().position(|(bound, _)| *bound == address)?;
        Some(self.listeners.swap_remove(at).1)
    }

    /// The socket to the process that is followed, if one is.
    pub fn predecessor(&mut self) -> Option<UnixStream> {
        self.predecessor.take()
    }

    /// The socket that holds the keys of session tickets, if they were handed over.
    pub fn tickets(&mut self) -> Option<UnixStream> {
        self.tickets.take()
    }

    /// Closes what nobody took.
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
