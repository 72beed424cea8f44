//! The process that hands over, seen by the one that takes over. One that is gone has left everything.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{FREE_AND_EMPTY, PREPARED, READY, YOURS};

/// The process that this one follows.
#[derive(Debug)]
pub struct Predecessor {
    socket: UnixStream,
}

impl Predecessor {
    /// At the other end of this socket.
    pub const fn new(socket: UnixStream) -> Self {
        Self { socket }
    }

    /// Waits until the state folder is free; whether the predecessor serves by a table, so that this process
    /// is not ready without one.
    pub fn wait_for_folder(&self) -> bool {
        match ask(&self.socket, PREPARED) {
            Ok(answer) => answer != FREE_AND_EMPTY,
            Err(error) => gone(&error),
        }
    }

    /// Tells it that this process is ready, and waits until it accepts nothing more.
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
