//! A connection between the client of `h2` and the code under test.

use std::future::{Future, poll_fn};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Response};
use prometheus::Registry;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::super::{Connections, Http2, Settings, Windows};
use crate::client::{ClientFailure, PaceTerms, Request};
use crate::metrics::Metrics;

pub(super) const SETTINGS: Settings = Settings {
    handshake_timeout: Duration::from_secs(20),
    idle_timeout: Duration::from_secs(60),
    pace: PaceTerms { body_timeout: Duration::from_secs(10), min_rate: 100 },
    max_target_bytes: 8000,
    max_header_bytes: 16_000,
    max_header_fields: 100,
    max_streams: 100,
};
const WINDOWS: Windows = Windows { stream: 65_535, connection: 65_535 };

/// The server's end of connections.
pub(super) struct Stage {
    pub(super) settings: Settings,
    pub(super) prefix: Bytes,
    pub(super) metrics: Metrics,
    pub(super) draining: CancellationToken,
    pub(super) tasks: JoinSet<&'static str>,
    client: Option<AbortHandle>,
}

pub(super) const SERVER: &str = "server";
pub(super) const CLIENT: &str = "client";

impl Stage {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            prefix: Bytes::new(),
            metrics: Metrics::new(&Registry::new()).unwrap(),
            draining: CancellationToken::new(),
            tasks: JoinSet::new(),
            client: None,
        }
    }

    /// Starts to serve a connection with buffers of `buffer` bytes. Returns the client's end.
    pub(super) fn open<F>(
        &mut self,
        buffer: usize,
        serve: impl FnMut(Request, Http2) -> F + Send + 'static,
    ) -> DuplexStream
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.open_on(buffer, |stream| stream, serve)
    }

    /// Starts like [`Self::open`], on what `wrap` makes of the server's end.
    pub(super) fn open_on<F, S>(
        &mut self,
        buffer: usize,
        wrap: impl FnOnce(DuplexStream) -> S,
        serve: impl FnMut(Request, Http2) -> F + Send + 'static,
    ) -> DuplexStream
    where
        F: Future<Output = ()> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (client, server) = duplex(buffer);
        let server = wrap(server);
        let missed = self.metrics.connections.header_timeout.clone();
        let connections = Connections::new(self.settings, self.metrics.http.clone(), missed);
        let (draining, prefix) = (self.draining.clone(), self.prefix.clone());
        self.tasks.spawn(async move {
            connections.serve(server, prefix, WINDOWS, draining.cancelled(), serve, |_| {}).await;
            SERVER
        });
        client
    }

    /// Connects the client, whose windows are `window` bytes large.
    pub(super) async fn connect<F>(
        &mut self,
        window: u32,
        serve: impl FnMut(Request, Http2) -> F + Send + 'static,
    ) -> SendRequest<Bytes>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stream = self.open(64 << 10, serve);
        let mut builder = client::Builder::new();
        let (client, connection) = builder.initial_window_size(window).handshake(stream).await.unwrap();
        let task = self.tasks.spawn(async move {
            connection.await.ok();
            CLIENT
        });
        self.client = Some(task);
        client
    }

    /// Ends the client's connection.
    pub(super) async fn end_client(&mut self) {
        self.client.take().unwrap().abort();
        while self.tasks.join_next().await.unwrap().is_ok() {}
    }

    pub(super) fn errors(&self, reason: &str) -> u64 {
        self.metrics.http.errors.with_label_values(&[reason]).get()
    }
}

pub(super) async fn body(client: &mut Http2) -> Result<Option<Bytes>, ClientFailure> {
    poll_fn(|context| client.poll_body(context)).await
}

pub(super) async fn whole_body(client: &mut Http2) -> Result<Vec<u8>, ClientFailure> {
    let mut whole = Vec::new();
    while let Some(part) = body(client).await? {
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

pub(super) async fn flush(client: &mut Http2) -> Result<(), ClientFailure> {
    poll_fn(|context| client.poll_flush(context)).await
}

pub(super) async fn gone(client: &mut Http2) -> ClientFailure {
    poll_fn(|context| client.poll_gone(context)).await
}

/// Answers with status 200 and `text`.
pub(super) async fn reply(client: &mut Http2, text: &'static [u8], trailers: Option<HeaderMap>) {
    client.send_head(Response::new(()), false);
    client.queue(Bytes::from_static(text));
    client.queue_end(trailers);
    flush(client).await.unwrap();
}

pub(super) fn get() -> http::Request<()> {
    http::Request::get("http://h/").body(()).unwrap()
}

pub(super) fn post() -> http::Request<()> {
    http::Request::post("http://h/").body(()).unwrap()
}

/// The whole body of an answer.
pub(super) async fn read(mut stream: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut whole = Vec::new();
    while let Some(part) = stream.data().await {
        let part = part?;
        stream.flow_control().release_capacity(part.len())?;
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

/// The reason of a reset by the other side.
pub(super) fn reset<T>(result: Result<T, h2::Error>) -> Option<Reason> {
    result.err().filter(|error| error.is_reset() && error.is_remote())?.reason()
}
