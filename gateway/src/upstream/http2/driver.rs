//! The task of a connection of HTTP/2: reads and writes for all streams, and ends with the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tracing::debug;

use super::status::Status;
use crate::upstream::io::Io;

/// Drives a connection.
pub(super) struct Driver {
    connection: h2::client::Connection<Io, Bytes>,
    status: Arc<Status>,
}

impl Driver {
    pub(super) fn new(connection: h2::client::Connection<Io, Bytes>, status: Arc<Status>) -> Self {
        Self { connection, status }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
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
