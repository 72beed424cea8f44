//! The signs of life of a peer: bytes that came from it, and bytes that it accepted. They are counted below
//! TLS, so that a part of a record counts as well as a whole message.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The times of the peer's last sign of life, and of the last bytes that it accepted.
#[derive(Debug)]
pub(super) struct Pulse {
    begun: Instant,
    heard: AtomicU64,
    taken: AtomicU64,
}

/// A stream that notes signs of life.
#[derive(Debug)]
pub(super) struct Watched<S> {
    inner: S,
    pulse: Arc<Pulse>,
    /// The last write found no room.
    full: bool,
}

impl Pulse {
    fn new() -> Self {
        Self { begun: Instant::now(), heard: AtomicU64::new(0), taken: AtomicU64::new(0) }
    }

    /// The time when the last byte arrived, or the peer made room for one from here.
    pub(super) fn heard(&self) -> Instant {
        self.begun + Duration::from_micros(self.heard.load(Ordering::Relaxed))
    }

    /// The time when the last byte from here was accepted.
    pub(super) fn taken(&self) -> Instant {
        self.begun + Duration::from_micros(self.taken.load(Ordering::Relaxed))
    }

    fn note(&self, moment: &AtomicU64) {
        let passed = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        moment.store(passed, Ordering::Relaxed);
    }
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S) -> (Self, Arc<Pulse>) {
        let pulse = Arc::new(Pulse::new());
        (Self { inner, pulse: Arc::clone(&pulse), full: false }, pulse)
    }

    /// Notes the result of a write. The kernel accepts bytes for a peer that is gone, until it has no room
    /// left: only room that comes back is a sign of life.
    fn wrote(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Pending => self.full = true,
            Poll::Ready(Ok(written)) if *written > 0 => {
                self.pulse.note(&self.pulse.taken);
                if std::mem::take(&mut self.full) {
                    self.pulse.note(&self.pulse.heard);
                }
            }
            Poll::Ready(_) => {}
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pulse.note(&self.pulse.heard);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
