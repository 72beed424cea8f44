//! What the tests of this folder share.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::answer::{AnswerLimits, Response};
use super::exchange::Upstream;
use super::failure::UpstreamFailure;
use super::timeouts::Timeouts;

pub(super) const LIMITS: AnswerLimits = AnswerLimits { header_bytes: 4000, header_fields: 100 };
pub(super) const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(60),
    write: Duration::from_secs(30),
};

/// Reads the header of the next answer, and writes what is queued meanwhile.
pub(super) async fn response(upstream: &mut Upstream) -> Result<Response, UpstreamFailure> {
    poll_fn(|context| {
        if let Poll::Ready(Err(failure)) = upstream.poll_flush(context) {
            return Poll::Ready(Err(failure));
        }
        upstream.poll_response(context)
    })
    .await
}

/// Reads the body of the answer.
pub(super) async fn body(upstream: &mut Upstream) -> Result<Vec<u8>, UpstreamFailure> {
    let mut all = Vec::new();
    while let Some(part) = part(upstream).await? {
        all.extend_from_slice(&part);
    }
    Ok(all)
}

/// Reads the next part of the answer's body.
pub(super) async fn part(upstream: &mut Upstream) -> Result<Option<Bytes>, UpstreamFailure> {
    poll_fn(|context| upstream.poll_body(context)).await
}

/// Writes what is queued.
pub(super) async fn flush(upstream: &mut Upstream) -> Result<(), UpstreamFailure> {
    poll_fn(|context| upstream.poll_flush(context)).await
}

/// A server of HTTP/2 on one connection.
#[derive(Debug)]
pub(super) struct Server {
    streams: mpsc::UnboundedReceiver<Stream>,
    goaway: mpsc::UnboundedSender<()>,
    _task: JoinSet<()>,
}

/// A request, and the way for its answer.
pub(super) type Stream = (Request<RecvStream>, SendResponse<Bytes>);

impl Server {
    pub(super) fn start(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, builder: Builder) -> Self {
        let ((sender, streams), (goaway, mut to_end)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let Ok(mut connection) = builder.handshake(io).await else { return };
            loop {
                tokio::select! {
                    accepted = connection.accept() => match accepted {
                        Some(Ok(stream)) => drop(sender.send(stream)),
                        Some(Err(_)) | None => return,
                    },
                    Some(()) = to_end.recv() => connection.graceful_shutdown(),
                }
            }
        });
        Self { streams, goaway, _task: tasks }
    }

    /// The next request.
    pub(super) async fn accept(&mut self) -> Stream {
        self.streams.recv().await.expect("a request comes")
    }

    /// Waits for the end of the connection.
    pub(super) async fn ended(&mut self) {
        while self.streams.recv().await.is_some() {}
    }

    /// Tells the client to begin no more streams.
    pub(super) fn send_goaway(&self) {
        self.goaway.send(()).unwrap();
    }
}

/// An answer of 200.
pub(super) fn ok() -> http::Response<()> {
    http::Response::new(())
}
