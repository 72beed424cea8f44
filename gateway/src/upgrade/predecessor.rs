//! The successor's view of the process that hands over. If that process is gone, everything is free.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{FREE_AND_EMPTY, PREPARED, READY, YOURS};

/// The process that this one replaces.
#[derive(Debug)]
pub struct Predecessor {
    socket: UnixStream,
}

impl Predecessor {
    /// Creates the predecessor at the other end of this socket.
    pub const fn new(socket: UnixStream) -> Self {
        Self { socket }
    }

    /// Waits until the state folder is free. Returns whether the predecessor serves with a table: then this
    /// process is not ready without one.
    pub fn wait_for_folder(&self) -> bool {
        match ask(&self.socket, PREPARED) {
            Ok(answer) => answer != FREE_AND_EMPTY,
            Err(error) => gone(&error),
        }
    }

    /// Reports that this process is ready, and waits until the predecessor has stopped accepting.
    pub async fn relieve(&self) {
        let asked = self.socket.try_clone().map(|socket| spawn_blocking(move || ask(&socket, READY)));
        let answer = match asked {
            Ok(answer) => answer.await.unwrap_or_else(|error| Err(io::Error::other(error))),
            Err(error) => Err(error),
        };
        match answer {
            Ok(YOURS) => info!("upgrade: the process before this one has handed over"),
            Ok(other) => warn!("the process before this one answered {other:#x} to being relieved"),
            Err(error) => {
                gone(&error);
            }
        }
    }
}

fn ask(mut socket: &UnixStream, byte: u8) -> io::Result<u8> {
    let mut answer = [0];
    socket.write_all(&[byte])?;
    socket.read_exact(&mut answer)?;
    Ok(answer[0])
}

fn gone(error: &io::Error) -> bool {
    warn!("the process before this one has ended: {error}");
    false
}
