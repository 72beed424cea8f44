//! How many writes answers take.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::Http2;
use super::stage::{SETTINGS, Stage, get, read, reply};
use crate::client::Request;

const STREAMS: usize = 50;
const DEADLINE: Duration = Duration::from_secs(10);

/// A stream that counts writes.
struct Counted {
    inner: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// The server has a worker of its own, as in the program: it runs the task that was woken last at once.
#[test]
fn answers_that_are_ready_together_share_writes() {
    let (barrier, writes) = (Arc::new(Barrier::new(STREAMS)), Arc::new(AtomicUsize::new(0)));
    let serve = move |_: Request, mut client: Http2| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            reply(&mut client, b"text", None).await;
        }
    };
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mut stage, counted) = (Stage::new(SETTINGS), writes.clone());
    let entered = server.enter();
    let stream = stage.open_on(64 << 10, |inner| Counted { inner, writes: counted }, serve);
    drop(entered);
    let client = Builder::new_current_thread().enable_all().build().unwrap();
    let bodies = client.block_on(async { timeout(DEADLINE, ask(stream)).await.unwrap() });
    assert!(bodies.iter().all(|body| body == b"text"));
    let writes = writes.load(Ordering::Relaxed);
    assert!(writes < STREAMS / 2, "{writes}");
}

/// The answers to all requests at once.
async fn ask(stream: DuplexStream) -> Vec<Vec<u8>> {
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let (mut driver, mut answers) = (JoinSet::new(), JoinSet::new());
    driver.spawn(connection);
    for _ in 0..STREAMS {
        let mut client = client.clone();
        answers.spawn(async move {
            let (answer, _) = client.send_request(get(), true).unwrap();
            read(answer.await.unwrap().into_body()).await.unwrap()
        });
    }
    answers.join_all().await
}
