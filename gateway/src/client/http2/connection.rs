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

use super::settings::{Settings, Windows};
use super::transport::{Transport, Written};
use super::{Http2, refusal, request, rest};
use crate::client::timer::Timer;
use crate::client::{Refused, Request, refused};
use crate::error::RequestFailure;
use crate::metrics::{HttpMetrics, Source};
use crate::request_id::RequestId;
use crate::turn::Turn;

/// Malformed requests after which a connection ends.
const MALFORMED_STREAMS: usize = 32;
/// The most bytes of each answer that the connection holds until they are written.
const SEND_BUFFER: usize = 128 << 10;
/// Requests that a client has reset before they were looked at, after which its connection ends.
const EARLY_RESETS: usize = 20;
/// How long a connection without requests stays open while the program is stopping. Requests that are on their
/// way still arrive.
const DRAINED_TIMEOUT: Duration = Duration::from_secs(1);
/// How long requests may take to end after their connection.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(5);

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
    turn: Turn,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Serving,
    /// The client knows that the connection ends.
    Draining,
    /// No request is taken any more.
    Closing,
}

/// A time without a task.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    /// Whether there is still something to write.
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
    /// given to `serve`, whose future runs as a task that ends with the connection. A refused one is shown to
    /// `note`. When `draining` is ready, the client is asked to open no further streams, and the connection ends
    /// with those that are open.
    pub async fn serve<S, F>(
        &self,
        stream: S,
        prefix: Bytes,
        windows: Windows,
        draining: impl Future<Output = ()>,
        mut serve: impl FnMut(Request, Http2) -> F,
        note: impl Fn(&Refused<'_>),
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
            turn: Turn::default(),
            state: State::Serving,
        };
        let mut draining = pin!(draining);
        poll_fn(|context| connection.poll(context, draining.as_mut(), &mut serve, &note)).await;
        connection.finish().await;
    }

    fn builder(&self, windows: Windows) -> Builder {
        let mut builder = Builder::new();
        builder
            .max_header_list_size(self.settings.max_header_list())
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
        serve: &mut impl FnMut(Request, Http2) -> F,
        note: &impl Fn(&Refused<'_>),
    ) -> Poll<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // One write for the answers of all requests that are ready to go on.
        if self.tasks.len() > 1 {
            ready!(self.turn.poll_last(context));
        }
        if self.state == State::Serving && draining.poll(context).is_ready() {
            self.h2.graceful_shutdown();
            self.state = State::Draining;
            self.quiet = None;
        }
        loop {
            let accepted = pin!(self.h2.accept()).poll(context);
            match accepted {
                Poll::Ready(Some(Ok((request, response)))) => self.take(request, response, serve, note),
                Poll::Ready(Some(Err(error))) => {
                    debug!("a connection of HTTP/2 failed: {error}");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {
                    // Also those that were begun, and have ended, in this very poll.
                    while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(context) {}
                    ready!(self.poll_quiet(context));
                    if self.state == State::Closing {
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
        serve: &mut impl FnMut(Request, Http2) -> F,
        note: &impl Fn(&Refused<'_>),
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.tasks.len() >= self.all.max_tasks() {
            return response.send_reset(Reason::REFUSED_STREAM);
        }
        self.has_served = true;
        let (mut parts, mut body) = request.into_parts();
        match request::read(&mut parts, body.is_end_stream(), &self.all.settings) {
            Ok(request) => {
                let client = Http2::new(body, response, self.all.settings.pace);
                self.tasks.spawn(serve(request, client));
            }
            Err(failure) => {
                self.all.count(failure);
                let (id, answer) = (RequestId::random(), failure.answer());
                let (answer_bytes, answered) = refusal::answer(&mut response, &parts, failure, &id);
                let request = refused::shown(format!("{} {}", parts.method, parts.uri.path()).as_bytes());
                note(&Refused {
                    id: &id,
                    request,
                    status: answer.status,
                    reason: answer.reason,
                    answer_bytes,
                });
                // A client that has reset its stream needs no answer.
                if answered.is_ok() && !body.is_end_stream() {
                    self.tasks.spawn(async move { rest::read(&mut body).await });
                }
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
        if self.state != State::Closing {
            self.h2.abrupt_shutdown(reason);
            self.state = State::Closing;
            self.quiet = None;
        }
    }

    /// Waits until there was no request for too long, or the end of the connection is not written.
    fn poll_quiet(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.state != State::Closing && !self.tasks.is_empty() {
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
    /// buffers. The client may read them slowly, or have closed its windows since.
    fn quiet(&mut self) -> Quiet {
        let is_writing = self.state == State::Closing || self.h2.has_streams();
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
            State::Draining => settings.idle_timeout.min(DRAINED_TIMEOUT),
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
