//! One exchange with an upstream, in whichever version.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;

use super::answer::Response;
use super::failure::UpstreamFailure;
use super::http1::Http1;
use super::http2::Http2;

/// The way to the upstream of one request.
#[derive(Debug)]
pub enum Upstream {
    /// A connection of HTTP/1.1.
    Http1(Box<Http1>),
    /// A stream of HTTP/2.
    Http2(Box<Http2>),
}

impl Upstream {
    /// Whether the connection has been used for other requests.
    pub fn was_reused(&self) -> bool {
        match self {
            Self::Http1(upstream) => upstream.was_reused(),
            Self::Http2(upstream) => upstream.was_reused(),
        }
    }

    /// The address, where it is known.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Http1(upstream) => upstream.address(),
            Self::Http2(_) => None,
        }
    }

    /// Whether the upstream takes more of the request. What is queued after it does not is dropped.
    pub fn wants_body(&self) -> bool {
        match self {
            Self::Http1(upstream) => upstream.wants_body(),
            Self::Http2(upstream) => upstream.wants_body(),
        }
    }

    /// Begins the time for the answer again: the upstream is not to blame for the wait so far.
    pub fn excuse(&mut self) {
        match self {
            Self::Http1(upstream) => upstream.excuse(),
            Self::Http2(upstream) => upstream.excuse(),
        }
    }

    /// Queues a part of the request's body.
    pub fn queue(&mut self, part: Bytes) {
        match self {
            Self::Http1(upstream) => upstream.queue(part),
            Self::Http2(upstream) => upstream.queue(part),
        }
    }

    /// Queues the end of the request's body. Of HTTP/1, only a chunked body has trailers.
    pub fn queue_end(&mut self, trailers: Option<HeaderMap>) {
        match self {
            Self::Http1(upstream) => upstream.queue_end(trailers.as_ref()),
            Self::Http2(upstream) => upstream.queue_end(trailers),
        }
    }

    /// Writes everything queued, or as much as the upstream takes before it refuses more: the answer says what
    /// became of the request.
    ///
    /// # Errors
    /// When the upstream takes nothing for too long; of a tunnel, also when the connection fails.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), UpstreamFailure>> {
        match self {
            Self::Http1(upstream) => upstream.poll_flush(context),
            Self::Http2(upstream) => upstream.poll_flush(context),
        }
    }

    /// Reads the header of the next answer: interim ones, then the final one.
    ///
    /// # Errors
    /// When no valid answer comes.
    pub fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<Result<Response, UpstreamFailure>> {
        match self {
            Self::Http1(upstream) => upstream.poll_response(context),
            Self::Http2(upstream) => upstream.poll_response(context),
        }
    }

    /// Writes what is queued, and reads the header of the final answer. For a request that is queued to its end.
    ///
    /// # Errors
    /// When no valid answer comes.
    pub async fn response(&mut self) -> Result<Response, UpstreamFailure> {
        poll_fn(|context| {
            if let Poll::Ready(flushed) = self.poll_flush(context) {
                flushed?;
            }
            loop {
                let response = ready!(self.poll_response(context))?;
                if !response.is_interim() {
                    return Poll::Ready(Ok(response));
                }
            }
        })
        .await
    }

    /// Reads the next part of the answer's body; `None` behind its end.
    ///
    /// # Errors
    /// When no more of it comes.
    pub async fn part(&mut self) -> Result<Option<Bytes>, UpstreamFailure> {
        poll_fn(|context| self.poll_body(context)).await
    }

    /// Reads the next part of the answer's body; `None` behind its end.
    ///
    /// # Errors
    /// When no more of it comes.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamFailure>> {
        match self {
            Self::Http1(upstream) => upstream.poll_body(context),
            Self::Http2(upstream) => upstream.poll_body(context),
        }
    }

    /// The trailers of the answer, once its body has been read.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Self::Http1(upstream) => upstream.take_trailers(),
            Self::Http2(upstream) => upstream.take_trailers(),
        }
    }

    /// Makes both directions a stream of bytes, after an answer of 101, which HTTP/2 does not have.
    pub fn begin_tunnel(&mut self) {
        if let Self::Http1(upstream) = self {
            upstream.begin_tunnel();
        }
    }

    /// Ends the exchange. A connection of HTTP/1.1 is kept if both messages are complete and the answer allows
    /// that; else it is closed. Without this call it is always closed.
    pub fn release(self) {
        match self {
            Self::Http1(upstream) => upstream.release(),
            // A stream ends by itself, and is reset if it is incomplete.
            Self::Http2(_) => {}
        }
    }
}
