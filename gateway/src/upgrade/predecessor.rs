//! The successor's view of the process that hands over. If that process is gone, everything is free.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{COUNTERS, FREE_AND_EMPTY, PREPARED, READY, TARGETS, YOURS, saved};
use crate::counting::counters;
use crate::upstream::balancer::SavedSlot;

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

    /// Asks for the state of targets, after [`Predecessor::wait_for_folder`]. It is empty if the predecessor has
    /// gone.
    pub fn targets(&self) -> Vec<SavedSlot> {
        ask_for(&self.socket, TARGETS, saved::MOST_BYTES).map(|state| saved::read(&state)).unwrap_or_else(
            |error| {
                gone(&error);
                Vec::new()
            },
        )
    }

    /// Asks for the counters of limits, which [`Counters::import`](crate::counting::counters::Counters::import)
    /// reads. It is empty if the predecessor has gone.
    pub fn counters(&self) -> Vec<u8> {
        ask_for(&self.socket, COUNTERS, counters::MOST_BYTES).unwrap_or_else(|error| {
            gone(&error);
            Vec::new()
        })
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

/// Asks for some state, of at most `most` bytes.
fn ask_for(mut socket: &UnixStream, state: u8, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.write_all(&[state])?;
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length as usize > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too much state"));
    }
    let mut state = Vec::new();
    socket.take(length.into()).read_to_end(&mut state)?;
    Ok(state)
}

fn gone(error: &io::Error) -> bool {
    warn!("the process before this one has ended: {error}");
    false
}
