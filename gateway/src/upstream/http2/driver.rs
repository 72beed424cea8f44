//! The task of a connection of HTTP/2: reads and writes for all streams, and ends with the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tracing::debug;

use super::status::Status;
use crate::turn::Turn;
use crate::upstream::io::Io;

/// Drives a connection.
pub(super) struct Driver {
    connection: h2::client::Connection<Io, Bytes>,
    status: Arc<Status>,
    turn: Turn,
}

impl Driver {
    pub(super) fn new(connection: h2::client::Connection<Io, Bytes>, status: Arc<Status>) -> Self {
        Self { connection, status, turn: Turn::default() }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // One write for the requests of all streams that are ready to go on.
        if self.status.has_many_streams() {
            ready!(self.turn.poll_last(context));
        }
        let ended = Pin::new(&mut self.connection).poll(context);
        self.status.allow(self.connection.max_concurrent_send_streams());
        // Its streams report an error to those that wait.
        ended.map(|ended| {
            drop(ended.inspect_err(|error| debug!("a connection to an upstream ended: {error}")))
        })
    }
}

impl Drop for Driver {
    /// Also when the runtime ends.
    fn drop(&mut self) {
        self.status.end();
    }
}
