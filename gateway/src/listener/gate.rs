//! What a connection, and each request on it, passes before the proxy sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::HeaderDeadline;
use crate::drain::Draining;
use crate::limit::Limit;
use crate::metrics::ConnectionMetrics;
use crate::proxy::Proxy;

/// What is sent to a connection too many. There is no request yet that could be answered in another form.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 21\r\nRetry-After: 1\r\nConnection: close\r\n\r\ntoo many connections\n";
/// How long a client that is sent away may take to be told so.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);
/// Requests on one connection. What a connection gathers in memory is given back now and then.
const REQUESTS_PER_CONNECTION: u32 = 10_000;

/// What connections are held to.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The cap on open connections.
    pub connections: Arc<Limit>,
    /// How long a whole header may take.
    pub header_timeout: Duration,
}

/// The way in: counts connections and sends away those too many.
pub struct Gate {
    limits: Limits,
    metrics: ConnectionMetrics,
    guard: Arc<Guard>,
}

/// Stands before each request of a connection.
struct Guard {
    proxy: Arc<HttpProxy<Proxy>>,
    options: HttpServerOptions,
    draining: Draining,
}

impl Gate {
    /// The way in to `proxy`. Connections without a request end when `draining` says so.
    pub fn new(
        proxy: HttpProxy<Proxy>,
        limits: Limits,
        metrics: ConnectionMetrics,
        draining: Draining,
    ) -> Self {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(REQUESTS_PER_CONNECTION);
        Self { limits, metrics, guard: Arc::new(Guard { proxy: Arc::new(proxy), options, draining }) }
    }

    async fn refuse(&self, mut stream: Stream) {
        self.metrics.refused.inc();
        let told = async {
            stream.write_all(REFUSAL).await?;
            stream.flush().await
        };
        // Whether it hears it or not, it is sent away.
        timeout(REFUSAL_PATIENCE, told).await.ok();
        stream.shutdown().await.ok();
    }
}

#[async_trait]
impl ServerApp for Gate {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let Some(_permit) = self.limits.connections.acquire() else {
            self.refuse(stream).await;
            return None;
        };
        self.metrics.accepted.inc();
        let missed = self.metrics.header_timeout.clone();
        let stream = HeaderDeadline::new(stream, self.limits.header_timeout, missed);
        self.guard.process_new(Box::new(stream), shutdown).await
    }

    async fn cleanup(&self) {
        self.guard.cleanup().await;
    }
}

#[async_trait]
impl HttpServerApp for Guard {
    // Not an async fn: its future, of some ten kilobytes, would be put into another one.
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

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    /// Called as soon as nothing is accepted any more. Pingora's own would end the connections that wait for
    /// a request at once, and with them requests that are on their way.
    async fn http_cleanup(&self) {
        self.draining.idle_ended().await;
        self.proxy.http_cleanup().await;
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("limits", &self.limits).finish_non_exhaustive()
    }
}
