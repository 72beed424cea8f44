//! The predecessor's view of the process that takes over.

use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::process::Stdio;

use command_fds::{CommandFdExt, FdMapping};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tracing::warn;

use super::UpgradeError;
use crate::listener::inherited;

#[derive(Debug)]
pub(super) struct Successor {
    child: Child,
    pid: u32,
    socket: UnixStream,
}

impl Successor {
    /// Starts the program at this one's path, with the same arguments. Uses the path and not
    /// `/proc/self/exe`, which still names the replaced file.
    pub(super) fn start(listeners: &[TcpListener], tickets: &[u8]) -> Result<Self, UpgradeError> {
        let mut arguments = std::env::args_os();
        let program = arguments.next().unwrap_or_default();
        let failed = |source| UpgradeError::Start { program: program.display().to_string(), source };
        let (ours, theirs) = net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mappings = mappings(listeners, holding(tickets)?, theirs)?;
        let mut command = std::process::Command::new(&program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .env(inherited::COUNT, mappings.len().to_string())
            .env(inherited::PREDECESSOR, std::process::id().to_string())
            .env(inherited::TICKETS, "1")
            .env(inherited::TARGETS, std::process::id().to_string())
            .env(inherited::COUNTERS, std::process::id().to_string())
            .env_remove(inherited::FOR)
            .fd_mappings(mappings)
            .map_err(|collision| failed(std::io::Error::other(collision)))?;
        let child = Command::from(command).spawn().map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        Ok(Self { child, pid, socket: UnixStream::from_std(ours)? })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for this byte.
    pub(super) async fn expect(&mut self, byte: u8) -> Result<(), UpgradeError> {
        if self.hear().await? == byte { Ok(()) } else { Err(UpgradeError::Foreign) }
    }

    /// Waits for a byte.
    pub(super) async fn hear(&mut self) -> Result<u8, UpgradeError> {
        match self.socket.read_u8().await {
            Ok(byte) => Ok(byte),
            // Its end is closed: it has ended, or is a program that does not know this protocol.
            Err(_) => Err(UpgradeError::Ended(self.child.wait().await?)),
        }
    }

    pub(super) async fn tell(&mut self, byte: u8) -> Result<(), UpgradeError> {
        Ok(self.socket.write_u8(byte).await?)
    }

    /// Sends some state, preceded by its length.
    pub(super) async fn give(&mut self, state: &[u8]) -> Result<(), UpgradeError> {
        self.socket.write_u32(state.len().try_into().unwrap_or(u32::MAX)).await?;
        Ok(self.socket.write_all(state).await?)
    }

    /// Kills the successor, if it still runs, and waits until it is gone.
    pub(super) async fn end(mut self) {
        if let Err(error) = self.child.kill().await {
            warn!(pid = self.pid, "cannot end the new process: {error}");
        }
    }
}

/// Creates a socket from which these few bytes can be read, and then the end of file.
fn holding(bytes: &[u8]) -> std::io::Result<net::UnixStream> {
    let (mut ours, theirs) = net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    ours.write_all(bytes)?;
    Ok(theirs)
}

/// Maps the listeners, followed by the sockets, to the descriptors that the successor expects.
fn mappings(
    listeners: &[TcpListener],
    tickets: net::UnixStream,
    socket: net::UnixStream,
) -> Result<Vec<FdMapping>, std::io::Error> {
    let listeners = listeners.iter().map(|listener| listener.try_clone().map(OwnedFd::from));
    let all = listeners.chain([Ok(OwnedFd::from(tickets)), Ok(OwnedFd::from(socket))]);
    let numbered = all.zip(inherited::FIRST..);
    numbered.map(|(parent_fd, child_fd)| Ok(FdMapping { parent_fd: parent_fd?, child_fd })).collect()
}
