//! A stream with deadlines: for a header, for the pause between requests, for writing an answer. hyper has
//! one for headers alone, which would also end pauses, and none for answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::activity::{Activity, Phase};
use super::{Bound, HttpLimiter};

/// A client's connection.
pub(super) struct Timed<S> {
    inner: S,
    activity: Arc<Activity>,
    shared: HttpLimiter,
    /// Runs while the connection waits for a header or the next request; with the phase that it belongs to.
    reading: Option<(Phase, Pin<Box<Sleep>>)>,
    /// Runs while the client does not read.
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(super) fn new(inner: S, activity: Arc<Activity>, shared: HttpLimiter) -> Self {
        Self { inner, activity, shared, reading: None, writing: None }
    }

    /// Pending until the deadline of the phase, then an error. Arriving bytes do not extend the deadline of a
    /// header.
    fn poll_read_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.activity.phase();
        let allowed = match phase {
            Phase::Header => self.shared.limits.header_timeout,
            Phase::Idle => self.shared.limits.idle_timeout,
            Phase::Busy | Phase::Sending | Phase::Evicted => {
                self.reading = None;
                return Poll::Pending;
            }
        };
        if self.reading.as_ref().is_none_or(|(of, _)| *of != phase) {
            self.reading = Some((phase, Box::pin(sleep(allowed))));
        }
        let Some((_, timer)) = &mut self.reading else { return Poll::Pending };
        timer.as_mut().poll(context).map(|()| {
            // The end of a pause is not the client's fault.
            if phase == Phase::Header {
                self.shared.met(Bound::HeaderTimeout);
            }
            Err(late())
        })
    }

    /// Returns `result`, or an error when the client has not read for too long.
    fn within_write_deadline<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        done: bool,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            if done {
                self.writing = None;
            }
            return result;
        }
        let allowed: Duration = self.shared.limits.write_timeout;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep(allowed)));
        timer.as_mut().poll(context).map(|()| {
            self.shared.met(Bound::WriteTimeout);
            Err(late())
        })
    }
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut me.inner).poll_read(context, buffer);
        if result.is_pending() {
            return me.poll_read_deadline(context);
        }
        if buffer.filled().len() > before && me.activity.begin_header() {
            // Another pause has a deadline of its own.
            me.reading = None;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let result = Pin::new(&mut me.inner).poll_write(context, bytes);
        // An answer is complete when its last byte is written, not when some are.
        let done = matches!(result, Poll::Ready(Ok(written)) if written == bytes.len());
        me.within_write_deadline(context, result, done)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let result = Pin::new(&mut me.inner).poll_write_vectored(context, slices);
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let done = matches!(result, Poll::Ready(Ok(written)) if written == length);
        me.within_write_deadline(context, result, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        // hyper flushes when it has written everything.
        let result = Pin::new(&mut me.inner).poll_flush(context);
        if matches!(result, Poll::Ready(Ok(()))) && me.activity.end_sending() {
            // hyper has read before it flushed: only another read begins the deadline of the pause.
            context.waker().wake_by_ref();
        }
        me.within_write_deadline(context, result, true)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let result = Pin::new(&mut me.inner).poll_shutdown(context);
        me.within_write_deadline(context, result, true)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::activity::Clock;
    use super::super::{LEAST_HEADER, Limits};
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn each_pause_has_a_deadline_of_its_own() {
        let limits = Limits {
            max_connections: 1,
            max_connections_per_address: 1,
            max_in_flight: 1,
            max_header_bytes: LEAST_HEADER,
            header_timeout: TIMEOUT,
            idle_timeout: TIMEOUT,
            body_timeout: TIMEOUT,
            write_timeout: TIMEOUT,
        };
        let (mut client, stream) = duplex(64);
        let activity = Arc::new(Activity::new(Clock::default()));
        let mut timed = Timed::new(stream, Arc::clone(&activity), HttpLimiter::new(limits, |_| {}));
        for _ in 0..3 {
            assert!(activity.begin_request());
            activity.begin_sending();
            timed.flush().await.unwrap();
            assert_eq!(activity.phase(), Phase::Idle);
            let next = async {
                sleep(TIMEOUT * 2 / 3).await;
                client.write_all(b"G").await
            };
            let (read, written) = tokio::join!(timed.read_u8(), next);
            assert_eq!((read.unwrap(), written.unwrap()), (b'G', ()));
            assert_eq!(activity.phase(), Phase::Header);
        }
    }
}
