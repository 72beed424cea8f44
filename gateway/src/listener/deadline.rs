//! A client's connection: sets the deadline of the whole header, and checks bytes before Pingora's parser
//! does.
//!
//! Pingora has a timeout for each single read. A client that sends a byte now and then could hold its
//! connection for days (its issue 447). So the stream itself keeps the time: a header must be complete within
//! the timeout from its first byte, or the next read fails. A header that comes in one piece, as nearly all
//! do, costs nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
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

use super::chunks::{self, Chunks};
use super::head::Head;
use crate::error::RequestFailure;
use crate::request::Replaced;

/// A client's connection, with a deadline for each header on it.
#[derive(Debug)]
pub struct HeaderDeadline {
    inner: Stream,
    allowed: HeaderLimits,
    /// One of the phases below. Atomic, since Pingora lends its stream out as a shared reference only.
    phase: AtomicU8,
    /// Runs until the header must be complete. Set at the first wait for that header.
    timer: Option<Pin<Box<Sleep>>>,
    missed: IntCounter,
    /// Bytes that were read, but not yet passed to the parser.
    ready: Bytes,
    /// The number of preface bytes still to come, on a connection that negotiated HTTP/2. After the preface
    /// there are frames, and Pingora itself times idle ones.
    preface: Option<usize>,
    /// Bytes of the header so far.
    header_bytes: usize,
    head: Head,
    chunks: Chunks,
}

/// Limits of a header.
#[derive(Clone, Copy, Debug)]
pub struct HeaderLimits {
    /// The timeout of the whole header.
    pub time: Duration,
    /// The most bytes of its target.
    pub target_bytes: usize,
    /// The most bytes of the whole header.
    pub bytes: usize,
}

/// The preface that an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Between two requests: no byte of the next one has come.
const IDLE: u8 = 0;
/// Within a header.
const HEADER: u8 = 1;
/// After a header, or after the preface of HTTP/2.
const BODY: u8 = 2;
/// After a header that announces a chunked body.
const CHUNKED: u8 = 3;

impl HeaderDeadline {
    /// Wraps `inner`. The time allowed for the first header starts now, that of each further one at its first
    /// byte. `missed` counts the headers that exceeded it.
    pub fn new(inner: Stream, allowed: HeaderLimits, missed: IntCounter) -> Self {
        let preface = (inner.selected_alpn_proto() == Some(ALPN::H2)).then_some(PREFACE.len());
        Self {
            inner,
            allowed,
            phase: AtomicU8::new(HEADER),
            timer: None,
            missed,
            ready: Bytes::new(),
            preface,
            header_bytes: 0,
            head: Head::default(),
            chunks: Chunks::default(),
        }
    }

    /// Ends the deadline: the header on this session's stream is complete. Returns the bytes of its target
    /// that were replaced before Pingora saw them.
    ///
    /// # Errors
    /// [`RequestFailure::BadRequest`] when the part of its body that came with it has wrong framing.
    pub fn met(session: &ServerSession) -> Result<Replaced, RequestFailure> {
        let Some(stream) = Self::of(session) else { return Ok(Replaced::new()) };
        if !session.req_header().headers.contains_key(TRANSFER_ENCODING) {
            stream.phase.store(BODY, Ordering::Relaxed);
        } else if Chunks::default().read(stream.head.behind()).is_ok() {
            stream.phase.store(CHUNKED, Ordering::Relaxed);
        } else {
            return Err(RequestFailure::BadRequest);
        }
        Ok(stream.head.replaced().clone())
    }

    /// Starts the next header: the next read on this session's stream belongs to it.
    pub fn next(session: &ServerSession) {
        if let Some(stream) = Self::of(session)
            && matches!(stream.phase.load(Ordering::Relaxed), BODY | CHUNKED)
        {
            stream.phase.store(IDLE, Ordering::Relaxed);
        }
    }

    /// Why the header on this session's stream was refused before Pingora could parse it.
    pub fn refusal(session: &ServerSession) -> Option<RequestFailure> {
        Self::of(session)?.head.refusal()
    }

    /// The stream of an HTTP/1 session. HTTP/2 streams have none of their own, and their headers come whole.
    fn of(session: &ServerSession) -> Option<&Self> {
        session.stream().and_then(|stream| (**stream).as_any().downcast_ref())
    }

    fn begin_header(&mut self) {
        *self.phase.get_mut() = HEADER;
        self.timer = None;
        self.header_bytes = 0;
        self.head = Head::default();
        self.chunks = Chunks::default();
    }

    /// Counts the preface bytes that have come.
    fn advance(&mut self, read: usize) {
        let Some(left) = &mut self.preface else { return };
        *left = left.saturating_sub(read);
        if *left == 0 {
            *self.phase.get_mut() = BODY;
            self.timer = None;
            self.head = Head::default();
        }
    }

    /// Pending until the deadline, then an error.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let allowed = self.allowed.time;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(allowed)));
        timer.as_mut().poll(context).map(|()| {
            self.missed.inc();
            Err(io::Error::new(io::ErrorKind::TimedOut, "the header was not complete in time"))
        })
    }

    /// Passes on bytes that were read before.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let first = self.ready.split_to(self.ready.len().min(buffer.remaining()));
        buffer.put_slice(&first);
    }

    /// Checks the bytes in `buffer` from `before` on. Returns whether there are bytes for the parser, or the
    /// connection has ended.
    fn look(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> bool {
        let read = buffer.filled().len() - before;
        match *self.phase.get_mut() {
            HEADER if self.preface.is_some() => self.advance(read),
            HEADER => {
                self.look_at_header(buffer, before);
                self.give(buffer);
                return read == 0 || buffer.filled().len() > before;
            }
            CHUNKED => self.look_at_chunks(buffer, before),
            _ => {}
        }
        true
    }

    fn look_at_header(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        let mut out = Vec::new();
        let bytes = &mut buffer.filled_mut()[before..];
        // The bytes so far were not the whole header.
        if self.header_bytes > self.allowed.bytes {
            self.head.refuse_length(&mut out);
            buffer.set_filled(before);
        } else if bytes.is_empty() {
            self.head.end(&mut out);
        } else {
            self.header_bytes += bytes.len();
            let kept = self.head.read(bytes, self.allowed.target_bytes, &mut out);
            buffer.set_filled(before + kept);
        }
        if !out.is_empty() {
            self.ready = out.into();
        }
    }

    fn look_at_chunks(&mut self, buffer: &mut ReadBuf<'_>, before: usize) {
        if !self.head.behind().is_empty() {
            // The framing is right: it was checked when the header was complete.
            self.chunks.read(self.head.behind()).ok();
            self.head.forget_behind();
        }
        if let Err(wrong) = self.chunks.read(&buffer.filled()[before..]) {
            buffer.set_filled(before + wrong);
            self.ready = Bytes::from_static(chunks::POISON);
            self.give(buffer);
        }
    }
}

impl AsyncRead for HeaderDeadline {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if !me.ready.is_empty() {
            me.give(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        loop {
            let result = Pin::new(&mut me.inner).poll_read(context, buffer);
            let came = buffer.filled().len() > before;
            match *me.phase.get_mut() {
                IDLE if came => me.begin_header(),
                HEADER if result.is_pending() => return me.poll_deadline(context),
                _ => {}
            }
            if !matches!(result, Poll::Ready(Ok(()))) || me.look(buffer, before) {
                return result;
            }
        }
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
    /// Fills `buffer` as far as the bytes can be the preface of HTTP/2. Pingora's own version waits until it
    /// is full. It would wait for ever after a short request of HTTP/1.0.
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
        self.ready = [&buffer[..filled], &self.ready].concat().into();
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
