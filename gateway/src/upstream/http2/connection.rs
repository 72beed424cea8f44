//! A connection of HTTP/2 and its places for streams.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use tokio::time::Instant;

use super::driver::Driver;
use super::status::Status;
use crate::upstream::answer::AnswerLimits;
use crate::upstream::failure::UpstreamFailure;
use crate::upstream::io::Io;

/// Bytes of an answer's body that come before its client has taken any.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams together. Half of them may have slow clients before the others wait.
const CONNECTION_WINDOW: u32 = 64 * STREAM_WINDOW;
/// Bytes of a request's body that wait in memory for the connection.
const SEND_BUFFER: usize = 64 * 1024;

/// A connection. When all that refers to it is gone, and all streams have ended, it is closed.
#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    send: SendRequest<Bytes>,
    status: Arc<Status>,
}

/// A place for one stream.
#[derive(Debug)]
pub(in crate::upstream) struct Slot {
    send: SendRequest<Bytes>,
    status: Arc<Status>,
}

/// Begins HTTP/2 on `io`. Returns the connection, and the task that drives it.
pub(in crate::upstream) async fn handshake(
    io: Io,
    limits: &AnswerLimits,
) -> Result<(Connection, impl Future<Output = ()> + Send + 'static), UpstreamFailure> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(most_header_bytes(limits));
    let (send, connection) = builder.handshake(io).await.map_err(UpstreamFailure::connect_http2)?;
    let status = Arc::new(Status::new(send.current_max_send_streams()));
    let driver = Driver::new(connection, Arc::clone(&status));
    Ok((Connection { send, status }, driver))
}

/// Where h2 itself refuses a header, without telling why. It lies above the limit, so that a header beyond the
/// limit is mostly refused as too large. h2 counts 32 bytes for each field.
fn most_header_bytes(limits: &AnswerLimits) -> u32 {
    let most = limits.header_bytes.saturating_mul(2).saturating_add(limits.header_fields.saturating_mul(64));
    u32::try_from(most).unwrap_or(u32::MAX)
}

impl Connection {
    /// Takes a place for a stream, if there is one.
    pub(in crate::upstream) fn take_slot(&self) -> Option<Slot> {
        self.status.add_stream().then(|| Slot { send: self.send.clone(), status: Arc::clone(&self.status) })
    }

    /// Whether no more streams can begin.
    pub(in crate::upstream) fn is_gone(&self) -> bool {
        self.status.has_ended()
    }

    /// Whether the connection has had no stream for `time`.
    pub(in crate::upstream) fn is_unused(&self, now: Instant, time: Duration) -> bool {
        self.status.unused_since().is_some_and(|since| now.saturating_duration_since(since) >= time)
    }
}

impl Slot {
    /// Whether a stream can begin. After a GOAWAY none can.
    pub(in crate::upstream) fn is_usable(&mut self) -> bool {
        let ready = self.send.poll_ready(&mut Context::from_waker(Waker::noop()));
        let usable = !matches!(ready, std::task::Poll::Ready(Err(_)));
        if !usable {
            self.status.end();
        }
        usable
    }

    /// Begins the stream.
    pub(super) fn send_request(
        &mut self,
        request: http::Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.send.send_request(request, end)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.status.remove_stream();
    }
}
