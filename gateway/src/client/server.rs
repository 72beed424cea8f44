//! Serves the connections of clients: caps them, does the TLS handshake, and hands each request to Pingora's
//! phases.

mod begin;

#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use self::begin::Begin;
use super::http1::{self, Http1, Next};
use super::{Client, Ends, Incoming, Refusals, Refused, Request, Shell, Slot, TlsSession, http2};
use crate::draining::Draining;
use crate::error::TOO_MANY_CONNECTIONS;
use crate::limit::Limit;
use crate::listener::{Http2Limits, ServerName, TlsListeners};
use crate::metrics::ConnectionMetrics;

/// How long a refused client may take to receive its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The most such responses at once; further connections are closed without one. Each takes a reserved
/// descriptor.
const REFUSALS: usize = 64;

/// The server of clients' connections. `A` is the proxy.
pub struct ClientServer<A> {
    app: Arc<A>,
    terms: ServerTerms,
    refusals: Semaphore,
    tasks: TaskTracker,
}

/// What a [`ClientServer`] needs.
#[derive(Debug)]
pub struct ServerTerms {
    /// The cap on open connections.
    pub connections: Arc<Limit>,
    /// The listeners with TLS.
    pub secured: TlsListeners,
    /// Metrics of connections.
    pub metrics: ConnectionMetrics,
    /// Notes the requests that are refused.
    pub refusals: Option<Arc<dyn Refusals>>,
    /// What holds for HTTP/1, and whether the program is stopping.
    pub http1: Arc<http1::Terms>,
    /// The server of HTTP/2.
    pub http2: http2::Connections,
    /// Its windows.
    pub windows: Http2Limits,
}

impl<A: HttpServerApp + Send + Sync + 'static> ClientServer<A> {
    /// Creates the server in front of `app`.
    pub fn new(app: A, terms: ServerTerms) -> Self {
        Self { app: Arc::new(app), terms, refusals: Semaphore::new(REFUSALS), tasks: TaskTracker::new() }
    }

    fn draining(&self) -> &Draining {
        &self.terms.http1.draining
    }

    fn note(&self, ends: &Ends, refused: &Refused<'_>) {
        if let Some(refusals) = &self.terms.refusals {
            refusals.note(ends.client.ip().to_canonical(), refused);
        }
    }

    async fn refuse(&self, mut stream: Stream) {
        self.terms.metrics.refused.inc();
        let Ok(_place) = self.refusals.try_acquire() else { return };
        let told = async {
            stream.write_all(TOO_MANY_CONNECTIONS).await?;
            stream.flush().await
        };
        // The connection is closed whether or not the client received the response.
        timeout(REFUSAL_TIMEOUT, told).await.ok();
        stream.shutdown().await.ok();
    }

    async fn accept(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let Some(_permit) = self.terms.connections.acquire() else { return self.refuse(stream).await };
        self.terms.metrics.accepted.inc();
        if let Some(stream) = self.terms.secured.secure(stream).await {
            self.serve(stream, shutdown).await;
        }
    }

    async fn serve(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        let accepted = Instant::now();
        let Some(ends) = Ends::of(&stream).map(Arc::new) else { return };
        match stream.selected_alpn_proto() {
            Some(ALPN::H2) => return self.serve_http2(stream, Bytes::new(), ends, shutdown).await,
            _ if ends.server_name.is_some() => {
                return self.serve_http1(stream, BytesMut::new(), accepted, ends, shutdown).await;
            }
            _ => {}
        }
        match self.begin(&mut stream, accepted).await {
            Some(Begin::Http1(input)) => self.serve_http1(stream, input, accepted, ends, shutdown).await,
            Some(Begin::Http2(input)) => self.serve_http2(stream, input.freeze(), ends, shutdown).await,
            None => {}
        }
    }

    /// Reads the first bytes on a connection without TLS.
    async fn begin(&self, stream: &mut Stream, accepted: Instant) -> Option<Begin> {
        let time = self.terms.http1.limits.header.time;
        let first = begin::read(stream);
        tokio::select! {
            biased;
            first = first => first,
            () = sleep_until(accepted + time) => {
                self.terms.http1.missed.inc();
                None
            }
            () = self.draining().idle_ended() => None,
        }
    }

    async fn serve_http1(
        &self,
        stream: Stream,
        input: BytesMut,
        accepted: Instant,
        ends: Arc<Ends>,
        shutdown: &ShutdownWatch,
    ) {
        let slot = Arc::<Slot>::default();
        let mut client = Box::new(Http1::new(stream, input, accepted, self.terms.http1.clone()));
        // Once for the connection: each wait of its own would take a lock that all connections share.
        let mut idle_ended = pin!(self.draining().idle_ended());
        loop {
            let next = tokio::select! {
                biased;
                next = client.next() => next,
                () = &mut idle_ended => Next::Ended,
            };
            let request = match next {
                Next::Request(request) => request,
                Next::Refused(refusal) => {
                    return client.refuse(refusal, |refused| self.note(&ends, refused)).await;
                }
                Next::Ended => return client.end().await,
            };
            let incoming = Incoming::new(request, Client::Http1(client), ends.clone());
            let incoming = Box::new(incoming);
            match exchange(&self.app, &slot, incoming, shutdown).await {
                Some(Client::Http1(returned)) => client = returned,
                _ => return,
            }
            if !client.finish().await {
                return;
            }
        }
    }

    // Not an async fn: connections of HTTP/1 need not be as large as these.
    fn serve_http2<'s>(
        &'s self,
        stream: Stream,
        prefix: Bytes,
        ends: Arc<Ends>,
        shutdown: &'s ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 's>> {
        let (stream_window, connection_window) = self.terms.windows.windows(self.terms.connections.used());
        let windows = http2::Windows { stream: stream_window, connection: connection_window };
        let mut watch = self.draining().watch();
        let draining = async move {
            watch.wait_for(|begun| *begun).await.ok();
        };
        let near = ends.clone();
        let serve = move |request: Request, client: http2::Http2| {
            let (app, shutdown) = (self.app.clone(), shutdown.clone());
            let client = Client::Http2(Box::new(client));
            let incoming = Box::new(Incoming::new(request, client, ends.clone()));
            async move {
                let returned = exchange(&app, &Arc::default(), incoming, &shutdown).await;
                if let Some(Client::Http2(client)) = returned {
                    client.finish().await;
                }
            }
        };
        Box::pin(
            self.terms
                .http2
                .serve(stream, prefix, windows, draining, serve, move |refused| self.note(&near, refused)),
        )
    }
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> ServerApp for ClientServer<A> {
    /// Serves the connection in a task of its own. The task that Pingora accepts in has room for a handshake of
    /// TLS, and would keep it as long as the connection is open.
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (server, shutdown) = (self.clone(), shutdown.clone());
        self.tasks.spawn(async move { server.accept(stream, &shutdown).await });
        None
    }

    /// Called as soon as nothing is accepted any more.
    async fn cleanup(&self) {
        self.draining().idle_ended().await;
        self.app.http_cleanup().await;
    }
}

/// Runs Pingora's phases for one request. Returns its client if they gave it back.
async fn exchange<A: HttpServerApp + Send + Sync + 'static>(
    app: &Arc<A>,
    slot: &Arc<Slot>,
    incoming: Box<Incoming>,
    shutdown: &ShutdownWatch,
) -> Option<Client> {
    let shell = Shell::new(incoming.request.method.clone(), slot.clone()).ok()?;
    slot.put(incoming);
    // The session is as large as the largest of its kinds: each move of it would copy all of that.
    app.process_new_http(ServerSession::new_custom(shell), shutdown).await;
    slot.take_back()
}

impl Ends {
    /// The ends of the connection on `stream`; `None` if it has ended meanwhile.
    fn of(stream: &Stream) -> Option<Self> {
        let digest = stream.get_socket_digest()?;
        let tls = stream.get_ssl_digest();
        Some(Self {
            client: *digest.peer_addr()?.as_inet()?,
            server: *digest.local_addr()?.as_inet()?,
            server_name: ServerName::of(tls.as_deref()).map(Into::into),
            tls: tls.as_deref().map(|tls| Box::new(TlsSession::new(&tls.version, &tls.cipher))),
        })
    }
}

impl<A> fmt::Debug for ClientServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientServer").field("terms", &self.terms).finish_non_exhaustive()
    }
}
