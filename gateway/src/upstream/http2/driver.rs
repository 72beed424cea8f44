//! The task of a connection of HTTP/2: reads and writes for all streams, and ends with the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use super::connection::Status;
use super::heartbeat::Heartbeat;
use crate::upstream::io::Io;

/// Drives a connection. The streams of a connection that is found dead fail.
pub(super) struct Driver {
    connection: h2::client::Connection<Watched, Bytes>,
    status: Arc<Status>,
    heartbeat: Heartbeat,
    heard: Heard,
}

/// The number of reads that brought bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicU64>);

/// A stream whose reads are counted.
#[derive(Debug)]
pub(super) struct Watched {
    io: Io,
    heard: Heard,
}

impl Driver {
    pub(super) fn new(
        mut connection: h2::client::Connection<Watched, Bytes>,
        status: Arc<Status>,
        heard: Heard,
    ) -> Self {
        let heartbeat = Heartbeat::new(connection.ping_pong());
        Self { connection, status, heartbeat, heard }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(context) {
            this.status.end();
            if let Err(error) = ended {
                debug!("a connection to an upstream ended: {error}");
            }
            return Poll::Ready(());
        }
        this.status.allow(this.connection.max_concurrent_send_streams());
        let heard = this.heard.0.load(Ordering::Relaxed);
        ready!(this.heartbeat.poll(context, heard, this.status.has_streams()));
        this.status.end();
        debug!("an upstream answers no ping: its connection is closed");
        Poll::Ready(())
    }
}

impl Drop for Driver {
    /// Also when the runtime ends.
    fn drop(&mut self) {
        self.status.end();
    }
}

impl Heard {
    pub(super) fn watch(&self, io: Io) -> Watched {
        Watched { io, heard: self.clone() }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.heard.0.fetch_add(1, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
