//! The bytes of a connection: those that were read to find out its version come first, and a client that
//! takes none for too long ends it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::client::timer::Timer;

/// The stream of a connection.
#[derive(Debug)]
pub(super) struct Transport<S> {
    inner: S,
    /// Bytes that were read before.
    prefix: Bytes,
    /// The longest time in which a write may make no progress.
    timeout: Duration,
    /// When the pending write must have made progress.
    stalled: Option<Instant>,
    timer: Timer,
    written: Written,
}

/// Counts the bytes that a connection has written.
#[derive(Clone, Debug, Default)]
pub(super) struct Written(Arc<AtomicU64>);

impl Written {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Transport<S> {
    pub(super) fn new(inner: S, prefix: Bytes, timeout: Duration, written: Written) -> Self {
        Self { inner, prefix, timeout, stalled: None, timer: Timer::default(), written }
    }

    /// Fails a write that has made no progress for too long.
    fn bound<T>(&mut self, write: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stalled = *self.stalled.get_or_insert_with(|| Instant::now() + self.timeout);
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing");
        self.timer.poll(stalled, context).map(|()| Err(timed_out()))
    }

    fn count(&self, write: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = write {
            self.written.0.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let read = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..read]);
        self.prefix.advance(read);
        if self.prefix.is_empty() {
            // Releases the memory behind it.
            self.prefix = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.count(&write);
        self.bound(write, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.inner).poll_flush(context);
        self.bound(flush, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = Pin::new(&mut self.inner).poll_shutdown(context);
        self.bound(shutdown, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.count(&write);
        self.bound(write, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
