//! Checks each connection, and each request on it, before the proxy sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{HeaderDeadline, HeaderLimits, Http2Limits, TlsListeners};
use crate::draining::Draining;
use crate::error::TOO_MANY_CONNECTIONS;
use crate::limit::Limit;
use crate::metrics::ConnectionMetrics;
use crate::proxy::Proxy;

/// How long a refused client may take to receive its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The most such responses at once; further connections are closed without one. Each takes a reserved
/// descriptor.
const REFUSALS: usize = 64;
/// Requests on one connection. The limit releases from time to time the memory that a connection gathers.
const REQUESTS_PER_CONNECTION: u32 = 10_000;

/// Limits of connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The cap on open connections.
    pub connections: Arc<Limit>,
    /// Limits of a request header.
    pub header: HeaderLimits,
    /// The most bytes of the header fields of HTTP/2.
    pub max_header_bytes: usize,
    /// Limits of HTTP/2.
    pub http2: Http2Limits,
    /// How long an HTTP/2 connection may be without a request.
    pub idle_timeout: Duration,
}

/// Counts connections and refuses those over the cap.
pub struct ConnectionLimiter {
    limits: Limits,
    metrics: ConnectionMetrics,
    secured: TlsListeners,
    refusals: Semaphore,
    entry: Arc<RequestEntry>,
}

/// Checks each request of a connection.
struct RequestEntry {
    proxy: Arc<HttpProxy<Proxy>>,
    draining: Draining,
    connections: Arc<Limit>,
    max_header_bytes: usize,
    http2: Http2Limits,
}

impl ConnectionLimiter {
    /// Creates the entry to `proxy`. Connections without a request end when `draining` says so.
    pub fn new(
        mut proxy: HttpProxy<Proxy>,
        limits: Limits,
        secured: TlsListeners,
        metrics: ConnectionMetrics,
        draining: Draining,
    ) -> Self {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(REQUESTS_PER_CONNECTION);
        // HTTP/2 is detected by its preface, beside HTTP/1.1; with TLS the handshake decides.
        options.h2c = true;
        options.h2_idle_timeout = Some(limits.idle_timeout);
        // Pingora's own refusal would have no body, and would not be counted.
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        let entry = RequestEntry {
            proxy: Arc::new(proxy),
            draining,
            connections: limits.connections.clone(),
            max_header_bytes: limits.max_header_bytes,
            http2: limits.http2,
        };
        Self { limits, metrics, secured, refusals: Semaphore::new(REFUSALS), entry: Arc::new(entry) }
    }

    async fn refuse(&self, mut stream: Stream) {
        self.metrics.refused.inc();
        let Ok(_place) = self.refusals.try_acquire() else { return };
        let told = async {
            stream.write_all(TOO_MANY_CONNECTIONS).await?;
            stream.flush().await
        };
        // The connection is closed whether or not the client received the response.
        timeout(REFUSAL_TIMEOUT, told).await.ok();
        stream.shutdown().await.ok();
    }
}

#[async_trait]
impl ServerApp for ConnectionLimiter {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let Some(_permit) = self.limits.connections.acquire() else {
            self.refuse(stream).await;
            return None;
        };
        self.metrics.accepted.inc();
        let stream = self.secured.secure(stream).await?;
        let missed = self.metrics.header_timeout.clone();
        let stream = HeaderDeadline::new(stream, self.limits.header, missed);
        self.entry.process_new(Box::new(stream), shutdown).await
    }

    async fn cleanup(&self) {
        self.entry.cleanup().await;
    }
}

#[async_trait]
impl HttpServerApp for RequestEntry {
    // Not an async fn: its future of some ten kilobytes would be copied into another one.
    fn process_new_http<'s, 'w, 'f>(
        self: &'s Arc<Self>,
        session: ServerSession,
        shutdown: &'w ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'f>>
    where
        's: 'f,
        'w: 'f,
    {
        HeaderDeadline::next(&session);
        self.proxy.process_new_http(session, shutdown)
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.max_header_list_size(u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX));
        let (stream, connection) = self.http2.windows(self.connections.used());
        options.max_concurrent_streams(self.http2.max_streams);
        options.initial_window_size(stream).initial_connection_window_size(connection);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    /// Called as soon as nothing is accepted any more. Pingora's own version would end idle connections at
    /// once, and with them requests that are on their way.
    async fn http_cleanup(&self) {
        self.draining.idle_ended().await;
        self.proxy.http_cleanup().await;
    }
}

impl fmt::Debug for ConnectionLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionLimiter").field("limits", &self.limits).finish_non_exhaustive()
    }
}
