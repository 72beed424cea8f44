//! The deadline of the whole header. Pingora has a timeout for each read only, so that a client that sends
//! a byte now and then holds its connection for days (its issue 447).
//!
//! The stream itself keeps the time: from its first byte on, a header must be complete when the time is
//! up, or the next read fails. A header that comes in one piece, as nearly all do, costs nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A client's connection, with a deadline for each header on it.
#[derive(Debug)]
pub struct HeaderDeadline {
    inner: Stream,
    allowed: Duration,
    /// One of the phases below. Atomic, since Pingora lends out its stream as a shared reference only.
    phase: AtomicU8,
    /// Runs until the header must be complete, from the first time on that it is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    missed: IntCounter,
    /// What was read to see which protocol comes, and not yet by the one who speaks it.
    peeked: Bytes,
    /// Bytes that are still to come of the preface, where HTTP/2 was agreed upon. Behind it are frames, and what
    /// is idle among them Pingora knows.
    preface: Option<usize>,
}

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Between two requests: no byte of the next one has come.
const IDLE: u8 = 0;
/// Within a header.
const HEADER: u8 = 1;
/// Behind a header, or behind the preface of HTTP/2.
const BODY: u8 = 2;

impl HeaderDeadline {
    /// Gives the first header on `inner` the time `allowed` from now on, each further one from its first
    /// byte on. `missed` counts the headers that did not make it.
    pub fn new(inner: Stream, allowed: Duration, missed: IntCounter) -> Self {
        let preface = (inner.selected_alpn_proto() == Some(ALPN::H2)).then_some(PREFACE.len());
        let phase = AtomicU8::new(HEADER);
        Self { inner, allowed, phase, timer: None, missed, peeked: Bytes::new(), preface }
    }

    /// The header on this session's stream is complete.
    pub fn met(session: &ServerSession) {
        Self::set_phase(session, |_| BODY);
    }

    /// The next read on this session's stream is of its next header.
    pub fn next(session: &ServerSession) {
        Self::set_phase(session, |phase| if phase == BODY { IDLE } else { phase });
    }

    fn set_phase(session: &ServerSession, change: impl Fn(u8) -> u8) {
        // Streams of HTTP/2 are none of their own, and their headers come whole.
        if let Some(stream) = session.stream().and_then(|stream| (**stream).as_any().downcast_ref::<Self>()) {
            stream.phase.store(change(stream.phase.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    fn begin_header(&mut self) {
        *self.phase.get_mut() = HEADER;
        self.timer = None;
    }

    /// So many bytes have come of the first header, or of the preface in its place.
    fn advance(&mut self, read: usize) {
        let Some(left) = &mut self.preface else { return };
        *left = left.saturating_sub(read);
        if *left == 0 {
            *self.phase.get_mut() = BODY;
            self.timer = None;
        }
    }

    /// Pending until the deadline, then an error.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let allowed = self.allowed;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(allowed)));
        timer.as_mut().poll(context).map(|()| {
            self.missed.inc();
            Err(io::Error::new(io::ErrorKind::TimedOut, "the header was not complete in time"))
        })
    }
}

impl AsyncRead for HeaderDeadline {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if !me.peeked.is_empty() {
            let first = me.peeked.split_to(me.peeked.len().min(buffer.remaining()));
            buffer.put_slice(&first);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut me.inner).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        match *me.phase.get_mut() {
            IDLE if read > 0 => me.begin_header(),
            HEADER if result.is_pending() => return me.poll_deadline(context),
            HEADER => me.advance(read),
            _ => {}
        }
        result
    }
}

impl AsyncWrite for HeaderDeadline {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for HeaderDeadline {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

#[async_trait]
impl Peek for HeaderDeadline {
    /// Fills `buffer` as far as what comes can be the preface of HTTP/2. Pingora's own waits until it is full,
    /// for ever where a short request of HTTP/1.0 is all that comes.
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() && PREFACE.starts_with(&buffer[..filled]) {
            match self.read(&mut buffer[filled..]).await? {
                0 => break,
                read => filled += read,
            }
        }
        if buffer[..filled] == *PREFACE {
            self.preface = Some(0);
            self.advance(0);
        }
        self.peeked = Bytes::copy_from_slice(&buffer[..filled]);
        Ok(true)
    }
}

impl UniqueID for HeaderDeadline {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for HeaderDeadline {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for HeaderDeadline {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for HeaderDeadline {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for HeaderDeadline {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}
