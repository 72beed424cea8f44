//! Two connected links in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::count::Counted;
use super::pulse::Watched;
use super::{Limits, Link, Stream, websocket};

/// Bytes that one end may send before the other has received them.
const BUFFER: usize = 64 * 1024;

/// The same on a slow line.
const SLOW_BUFFER: usize = 256;

impl Stream for Watched<DuplexStream> {}
impl Stream for Watched<Slow> {}

/// Both ends of a connection within this process, the client's first. It has no TLS. For tests that pause the
/// clock, which a kernel socket ignores.
pub async fn pair() -> (Link, Link) {
    let (dialler, listener) = tokio::io::duplex(BUFFER);
    (over(dialler, Role::Client).await, over(listener, Role::Server).await)
}

/// As [`pair`], but each end receives at most this many bytes a second.
pub async fn slow_pair(bytes_per_second: u32) -> (Link, Link) {
    let (dialler, listener) = tokio::io::duplex(SLOW_BUFFER);
    let slow = |stream| Slow { stream, bytes_per_second, rest: Box::pin(tokio::time::sleep(Duration::ZERO)) };
    (over(slow(dialler), Role::Client).await, over(slow(listener), Role::Server).await)
}

/// One end of a slow line: after each read it rests as long as the bytes have taken.
#[derive(Debug)]
struct Slow {
    stream: DuplexStream,
    bytes_per_second: u32,
    rest: Pin<Box<Sleep>>,
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.rest.as_mut().poll(cx));
        let before = to.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, to))?;
        let bytes = u32::try_from(to.filled().len() - before).unwrap_or(u32::MAX);
        let took = Duration::from_secs(1) * bytes / self.bytes_per_second;
        self.rest.as_mut().reset(Instant::now() + took);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn over<S: AsyncRead + AsyncWrite + Unpin>(stream: S, role: Role) -> Link
where
    Watched<S>: Stream + 'static,
{
    let (stream, pulse) = Watched::new(stream);
    let stream: Box<dyn Stream> = Box::new(stream);
    let (stream, traffic) = Counted::new(stream);
    let socket = WebSocketStream::from_raw_socket(stream, role, Some(websocket(&Limits::default()))).await;
    Link::new(socket, traffic, pulse)
}
