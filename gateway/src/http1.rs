//! A connection of HTTP/1, for either side: bodies in both directions, and the header's bytes. What stands in a
//! header is its owner's business, and so are deadlines.
//!
//! Everything is polled by one task. Nothing is written before `poll_flush`, which writes a header and a small
//! body at once.

mod body;
mod chunked;
mod output;

#[cfg(test)]
mod tests;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub use self::body::BodyError;
use self::body::{BodyReader, BodyWriter};
use self::output::Output;
use crate::message::Framing;

/// Bytes of one read while nothing is buffered: a header and a small body fit.
const FIRST_READ: usize = 4 * 1024;
/// Bytes of one read of a body.
const BODY_READ: usize = 64 * 1024;
/// The most bytes that are kept while only the end of the connection is awaited.
const MOST_STRAY: usize = 64 * 1024;

/// A connection and the state of the message in each direction.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    input: BytesMut,
    /// Whether the peer has ended its direction.
    ended: bool,
    reader: BodyReader,
    output: Output,
    writer: BodyWriter,
    /// Bytes read and written so far.
    progress: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Begins between two messages. `input` was read from `stream` before.
    pub fn new(stream: S, input: BytesMut) -> Self {
        Self {
            stream,
            input,
            ended: false,
            reader: BodyReader::default(),
            output: Output::default(),
            writer: BodyWriter::default(),
            progress: 0,
        }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// A number that grows with each byte read or written.
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// The bytes read that belong to no message yet.
    pub fn buffered(&self) -> &[u8] {
        &self.input
    }

    /// Takes the next `length` buffered bytes: a header.
    pub fn take_head(&mut self, length: usize) -> Bytes {
        self.input.split_to(length.min(self.input.len())).freeze()
    }

    /// Gives the memory of empty buffers back, for a connection that waits for its next message.
    pub fn release_buffers(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.output.release();
    }

    /// Reads more bytes into the buffer; 0 means that the peer has ended its direction.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let read = if self.input.capacity() == 0 {
            ready!(self.poll_first(context))
        } else {
            if self.input.capacity() == self.input.len() {
                self.input.reserve(FIRST_READ);
            }
            ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input))
        }?;
        self.ended = read == 0;
        self.progress += read as u64;
        Poll::Ready(Ok(read))
    }

    /// Reads without a buffer that would have to be kept while nothing comes.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); FIRST_READ];
        let mut first = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut first))?;
        self.input.reserve(first.filled().len().max(FIRST_READ / 4));
        self.input.extend_from_slice(first.filled());
        Poll::Ready(Ok(first.filled().len()))
    }

    /// Begins to read the body that follows the header taken last.
    pub fn begin_read(&mut self, framing: Framing) {
        self.reader = BodyReader::new(framing);
    }

    /// Whether the body has been read to its end.
    pub fn is_read(&self) -> bool {
        self.reader.is_done()
    }

    /// Reads the next part of the body; `None` behind its end.
    ///
    /// # Errors
    /// When the connection fails, or ends within the body, or when the body breaks the rules of chunks.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if let Some(part) = self.reader.next(&mut self.input)? {
                return Poll::Ready(Ok(Some(part)));
            }
            if self.reader.is_done() {
                return Poll::Ready(Ok(None));
            }
            self.reserve_for_body();
            if ready!(self.poll_fill(context))? == 0 {
                self.reader.end()?;
            }
        }
    }

    /// Makes room for one read of as much as the body has left.
    fn reserve_for_body(&mut self) {
        let wanted = self.reader.expects().min(BODY_READ);
        if self.input.capacity() - self.input.len() < wanted {
            self.input.reserve(wanted);
        }
    }

    /// The trailers of a chunked body that has been read to its end.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.reader.take_trailers()
    }

    /// Waits until the peer ends its direction. Bytes that come are kept, and are no end.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.input.len() < MOST_STRAY {
            if ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        // The peer is alive. Its end is seen by a write.
        Poll::Pending
    }

    /// Where the text of the next header is written.
    pub fn head(&mut self) -> &mut BytesMut {
        self.output.small()
    }

    /// Begins to write the body that follows the header.
    pub fn begin_write(&mut self, framing: Framing) {
        self.writer = BodyWriter::new(framing);
    }

    /// Queues a part of the body. What exceeds the length of the body is dropped.
    pub fn queue(&mut self, part: Bytes) {
        self.writer.queue(part, &mut self.output);
    }

    /// Queues the end of the body. Only a chunked body has `trailers`. A body that ends with the connection
    /// ends this direction.
    ///
    /// # Errors
    /// When the body has another length than was announced. The connection must not be used again.
    pub fn queue_end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), WrongLength> {
        self.writer.end(trailers, &mut self.output)
    }

    /// Whether the body has been queued to its end.
    pub fn is_written(&self) -> bool {
        self.writer.is_done()
    }

    /// Writes everything queued.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.output.written();
        let flushed = self.output.poll_write(&mut self.stream, context);
        self.progress += self.output.written() - before;
        flushed
    }

    /// Ends this direction.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A body was longer or shorter than was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body has another length than was announced")]
pub struct WrongLength;
