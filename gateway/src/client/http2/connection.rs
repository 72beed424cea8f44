//! A client's connection of HTTP/2: takes the streams, and ends when there are none for too long.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, Builder, SendResponse};
use h2::{Reason, RecvStream};
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::transport::{Transport, Written};
use super::{Http2, refusal, request};
use crate::client::timer::Timer;
use crate::client::{PaceTerms, Request};
use crate::error::RequestFailure;
use crate::metrics::{HttpMetrics, Source};

/// Malformed requests after which a connection ends.
const MALFORMED_STREAMS: usize = 32;
/// Bytes of answers that a connection keeps of each stream beyond what the client's windows allow.
const SEND_BUFFER: usize = 128 << 10;
/// Requests that a client has reset before they were looked at, after which its connection ends.
const EARLY_RESETS: usize = 20;
/// How long a connection that has no request may take to end after it was told to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long requests may take to end after their connection.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The timeout of the handshake.
    pub handshake_timeout: Duration,
    /// How long a connection may be without a request.
    pub idle_timeout: Duration,
    /// How a request's body must come. A write to the client may be stuck as long as a body may be silent.
    pub pace: PaceTerms,
    /// The most bytes of a target.
    pub max_target_bytes: usize,
    /// The most bytes of header fields.
    pub max_header_bytes: usize,
    /// The most header fields.
    pub max_header_fields: usize,
    /// The most concurrent streams of a connection.
    pub max_streams: u32,
}

/// How many bytes of bodies a client may send before they are read.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// On a stream.
    pub stream: u32,
    /// On all streams of the connection together.
    pub connection: u32,
}

/// Serves connections.
#[derive(Debug)]
pub struct Connections {
    settings: Settings,
    metrics: HttpMetrics,
    /// Handshakes that took too long.
    missed: IntCounter,
}

/// An open connection.
struct Connection<'c, S> {
    all: &'c Connections,
    h2: server::Connection<Transport<S>, Bytes>,
    /// One for each request.
    tasks: JoinSet<()>,
    written: Written,
    malformed: usize,
    has_served: bool,
    quiet: Option<Quiet>,
    timer: Timer,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    /// The client was told to send no further requests.
    Draining,
    /// No request is taken any more; since the time given.
    Closing(Instant),
}

/// A time without a task.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    /// Whether answers are still being written.
    is_writing: bool,
    until: Instant,
    /// Bytes written before it.
    written: u64,
}

impl Connections {
    /// Creates the server. `missed` counts the handshakes that took too long.
    pub fn new(settings: Settings, metrics: HttpMetrics, missed: IntCounter) -> Self {
        Self { settings, metrics, missed }
    }

    /// Serves the connection on `stream`, of which `prefix` was read before, until it ends. Each request is
    /// given to `serve`, whose future runs as a task that ends with the connection. When `draining` is ready,
    /// the client is told to open no further streams, and the connection ends with those that are open.
    pub async fn serve<S, F>(
        &self,
        stream: S,
        prefix: Bytes,
        windows: Windows,
        draining: impl Future<Output = ()>,
        serve: impl Fn(Request, Http2) -> F,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = ()> + Send + 'static,
    {
        let written = Written::default();
        let transport = Transport::new(stream, prefix, self.settings.pace.body_timeout, written.clone());
        let handshake = self.builder(windows).handshake(transport);
        let h2 = match timeout(self.settings.handshake_timeout, handshake).await {
            Ok(Ok(h2)) => h2,
            Ok(Err(error)) => return debug!("no handshake of HTTP/2: {error}"),
            Err(_) => return self.missed.inc(),
        };
        let mut connection = Connection {
            all: self,
            h2,
            tasks: JoinSet::new(),
            written,
            malformed: 0,
            has_served: false,
            quiet: None,
            timer: Timer::default(),
            state: State::Serving,
        };
        let mut draining = pin!(draining);
        poll_fn(|context| connection.poll(context, draining.as_mut(), &serve)).await;
        connection.finish().await;
    }

    fn builder(&self, windows: Windows) -> Builder {
        let mut builder = Builder::new();
        builder
            .max_header_list_size(u32::try_from(self.settings.max_header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(self.settings.max_streams)
            .initial_window_size(windows.stream)
            .initial_connection_window_size(windows.connection)
            .max_send_buffer_size(SEND_BUFFER)
            .max_pending_accept_reset_streams(EARLY_RESETS);
        builder
    }

    fn count(&self, failure: RequestFailure) {
        let answer = failure.answer();
        debug!(reason = answer.reason, "a request of HTTP/2 is refused");
        self.metrics.errors.with_label_values(&[answer.reason]).inc();
        self.metrics.requests.count(answer.status, Source::Gateway);
    }

    /// The most tasks of a connection: those of reset streams take a moment to end.
    fn max_tasks(&self) -> usize {
        usize::try_from(self.settings.max_streams).unwrap_or(usize::MAX).saturating_mul(2)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// Drives the connection. Ready when it has ended.
    fn poll<F>(
        &mut self,
        context: &mut Context<'_>,
        draining: Pin<&mut impl Future<Output = ()>>,
        serve: &impl Fn(Request, Http2) -> F,
    ) -> Poll<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(context) {}
        if self.state == State::Serving && draining.poll(context).is_ready() {
            self.h2.graceful_shutdown();
            self.state = State::Draining;
            self.quiet = None;
        }
        loop {
            let accepted = pin!(self.h2.accept()).poll(context);
            match accepted {
                Poll::Ready(Some(Ok((request, response)))) => self.take(request, response, serve),
                Poll::Ready(Some(Err(error))) => {
                    debug!("a connection of HTTP/2 failed: {error}");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(self.poll_quiet(context));
                    if matches!(self.state, State::Closing(_)) {
                        return Poll::Ready(());
                    }
                    self.close(Reason::NO_ERROR);
                }
            }
        }
    }

    fn take<F>(
        &mut self,
        request: http::Request<RecvStream>,
        mut response: SendResponse<Bytes>,
        serve: &impl Fn(Request, Http2) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.tasks.len() >= self.all.max_tasks() {
            return response.send_reset(Reason::REFUSED_STREAM);
        }
        self.has_served = true;
        let (mut parts, body) = request.into_parts();
        match request::read(&mut parts, body.is_end_stream(), &self.all.settings) {
            Ok(request) => {
                let client = Http2::new(body, response, self.all.settings.pace);
                self.tasks.spawn(serve(request, client));
            }
            Err(failure) => {
                self.all.count(failure);
                // A client that has reset its stream needs no answer.
                refusal::answer(&mut response, &parts, failure).ok();
                self.note_refusal(failure);
            }
        }
    }

    fn note_refusal(&mut self, failure: RequestFailure) {
        self.malformed += usize::from(failure == RequestFailure::BadRequest);
        if self.malformed >= MALFORMED_STREAMS {
            self.close(Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Takes no further requests, tells the client which was the last one, and ends the connection.
    fn close(&mut self, reason: Reason) {
        if !matches!(self.state, State::Closing(_)) {
            self.h2.abrupt_shutdown(reason);
            self.state = State::Closing(Instant::now() + CLOSE_TIMEOUT);
        }
    }

    /// Waits until there was no request for too long, or the connection should have closed.
    fn poll_quiet(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let State::Closing(until) = self.state {
            return self.timer.poll(until, context);
        }
        if !self.tasks.is_empty() {
            self.quiet = None;
            return Poll::Pending;
        }
        loop {
            let quiet = self.quiet();
            ready!(self.timer.poll(quiet.until, context));
            if !quiet.is_writing || self.written.bytes() == quiet.written {
                return Poll::Ready(());
            }
            self.quiet = None;
        }
    }

    /// The present time without a task. Answers whose tasks have ended may still be in the connection's
    /// buffers, and the client may have closed its windows since.
    fn quiet(&mut self) -> Quiet {
        let is_writing = self.h2.has_streams();
        if let Some(quiet) = self.quiet.filter(|quiet| quiet.is_writing == is_writing) {
            return quiet;
        }
        let allowed = if is_writing { self.all.settings.pace.body_timeout } else { self.idle_timeout() };
        let quiet = Quiet { is_writing, until: Instant::now() + allowed, written: self.written.bytes() };
        *self.quiet.insert(quiet)
    }

    fn idle_timeout(&self) -> Duration {
        let settings = &self.all.settings;
        match self.state {
            State::Draining => settings.idle_timeout.min(CLOSE_TIMEOUT),
            // Zero ends a connection after its first requests, not before.
            _ if settings.idle_timeout.is_zero() && !self.has_served => settings.handshake_timeout,
            _ => settings.idle_timeout,
        }
    }

    /// Waits for the tasks, which find out that their connection has ended.
    async fn finish(self) {
        let Self { h2, mut tasks, .. } = self;
        drop(h2);
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(STREAMS_TIMEOUT, ended).await.is_err() {
            debug!("requests outlive their connection of HTTP/2 and are aborted");
        }
    }
}
