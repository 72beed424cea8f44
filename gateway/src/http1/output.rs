//! The bytes that wait to be written: small ones in one buffer, a large part of a body as it is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Up to this size, a part is copied behind the bytes before it: one write of one buffer costs less.
const SMALL: usize = 4 * 1024;

/// Bytes to write, in this order.
#[derive(Debug, Default)]
pub(super) struct Output {
    before: BytesMut,
    /// The bytes of `before` that have been written.
    begun: usize,
    large: Bytes,
    behind: BytesMut,
    /// Whether the stream itself may hold bytes back.
    unflushed: bool,
    ends: bool,
    written: u64,
}

impl Output {
    /// Where small bytes are added.
    pub(super) fn small(&mut self) -> &mut BytesMut {
        if self.large.is_empty() { &mut self.before } else { &mut self.behind }
    }

    /// Adds a part of a body.
    pub(super) fn push(&mut self, part: Bytes) {
        if part.len() <= SMALL || !self.large.is_empty() {
            self.small().extend_from_slice(&part);
        } else {
            self.large = part;
        }
    }

    /// Ends the stream behind the bytes.
    pub(super) fn end(&mut self) {
        self.ends = true;
    }

    /// Gives the memory of empty buffers back.
    pub(super) fn release(&mut self) {
        if self.before.is_empty() {
            self.before = BytesMut::new();
        }
        self.behind = if self.behind.is_empty() { BytesMut::new() } else { std::mem::take(&mut self.behind) };
    }

    /// The number of bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes all bytes to `stream`.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.begun < self.before.len() || !self.large.is_empty() {
            let written = ready!(self.poll_once(stream, context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        if self.unflushed {
            ready!(Pin::new(&mut *stream).poll_flush(context))?;
            self.unflushed = false;
        }
        if self.ends {
            ready!(Pin::new(stream).poll_shutdown(context))?;
            self.ends = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_once<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(stream);
        let before = &self.before[self.begun..];
        if self.large.is_empty() {
            stream.poll_write(context, before)
        } else if before.is_empty() && self.behind.is_empty() {
            stream.poll_write(context, &self.large)
        } else if stream.is_write_vectored() {
            let all = [IoSlice::new(before), IoSlice::new(&self.large), IoSlice::new(&self.behind)];
            stream.poll_write_vectored(context, &all)
        } else {
            stream.poll_write(context, if before.is_empty() { &self.large } else { before })
        }
    }

    fn advance(&mut self, written: usize) {
        self.written += written as u64;
        self.unflushed = true;
        let first = written.min(self.before.len() - self.begun);
        self.begun += first;
        let second = (written - first).min(self.large.len());
        self.large.advance(second);
        if self.begun == self.before.len() && self.large.is_empty() {
            // What lies behind comes first now.
            self.before.clear();
            std::mem::swap(&mut self.before, &mut self.behind);
            self.begun = written - first - second;
        }
        if self.begun == self.before.len() {
            self.before.clear();
            self.begun = 0;
        }
    }
}
