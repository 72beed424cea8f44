//! The client's side of a request: reading the request, and writing the answer.
//!
//! All is polled by the one task that serves the request. What is queued is written by `poll_flush`.

mod answer;
mod early_body;
pub mod http1;
pub mod http2;
mod limits;
mod pace;
mod refused;
mod request;
mod server;
mod session;
mod slot;
mod timer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

pub use self::answer::{AnswerHead, begin_answer, interim_answer, switch_protocols};
pub use self::early_body::EarlyBody;
pub use self::http1::Http1;
pub use self::http2::Http2;
pub use self::limits::{ClientLimits, HeaderLimits};
pub use self::pace::PaceTerms;
pub use self::refused::{Refusals, Refused};
pub use self::request::Request;
pub use self::server::{ClientServer, ServerTerms};
pub use self::session::Shell;
pub use self::slot::Slot;
use crate::error::RequestFailure;

/// A request, and the way to its client. It is large, so that it is passed on in a box.
#[derive(Debug)]
pub struct Incoming {
    /// The header.
    pub request: Request,
    /// What was read of the body already.
    pub early: EarlyBody,
    /// The body, and the way for the answer.
    pub client: Client,
    /// The ends of the connection.
    pub ends: Arc<Ends>,
}

impl Incoming {
    /// A request of which no more than the header has been read.
    pub fn new(request: Request, client: Client, ends: Arc<Ends>) -> Self {
        Self { request, early: EarlyBody::default(), client, ends }
    }
}

/// The ends of a client's connection.
#[derive(Debug)]
pub struct Ends {
    /// The client's address.
    pub client: SocketAddr,
    /// The address to which the client connected.
    pub server: SocketAddr,
    /// The server name that the client asked for, in lower case, empty if it sent none; `None` without TLS.
    pub server_name: Option<Box<str>>,
    /// The TLS of the connection.
    pub tls: Option<Box<TlsSession>>,
}

/// What was negotiated for a connection with TLS, in the words of OpenSSL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// The version, such as `TLSv1.3`.
    pub version: Box<str>,
    /// The cipher, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: Box<str>,
}

impl TlsSession {
    /// Reads the words of rustls.
    pub fn new(version: &str, cipher: &str) -> Self {
        let version = version.replace('_', ".").into();
        Self { version, cipher: cipher.replacen("TLS13_", "TLS_", 1).into() }
    }
}

/// How a client fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFailure {
    /// It ended the connection, or the stream.
    Gone,
    /// It was silent for too long, or sends a body too slowly.
    TimedOut,
    /// Its body breaks the rules of HTTP.
    Malformed,
}

impl From<ClientFailure> for RequestFailure {
    fn from(failure: ClientFailure) -> Self {
        match failure {
            ClientFailure::Gone => Self::ClientClosed,
            ClientFailure::TimedOut => Self::RequestTimeout,
            ClientFailure::Malformed => Self::BadRequest,
        }
    }
}

/// The way to the client of one request.
#[derive(Debug)]
pub enum Client {
    /// A connection of HTTP/1.
    Http1(Box<Http1>),
    /// A stream of HTTP/2.
    Http2(Box<Http2>),
}

impl Client {
    /// Reads the next part of the body; `None` behind its end.
    ///
    /// # Errors
    /// When no more of it will come.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ClientFailure>> {
        match self {
            Self::Http1(client) => client.poll_body(context),
            Self::Http2(client) => client.poll_body(context),
        }
    }

    /// The trailers of the body, once it has been read.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        match self {
            Self::Http1(client) => client.take_trailers(),
            Self::Http2(client) => client.take_trailers(),
        }
    }

    /// Waits until the client ends the connection or the stream, which no bytes of a next request do. For a
    /// request whose body has been read.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<ClientFailure> {
        match self {
            Self::Http1(client) => client.poll_gone(context),
            Self::Http2(client) => client.poll_gone(context),
        }
    }

    /// Queues a part of the answer's body.
    pub fn queue(&mut self, part: Bytes) {
        match self {
            Self::Http1(client) => client.queue(part),
            Self::Http2(client) => client.queue(part),
        }
    }

    /// Queues the end of the answer's body. Of HTTP/1, only a chunked body has trailers.
    pub fn queue_end(&mut self, trailers: Option<HeaderMap>) {
        match self {
            Self::Http1(client) => client.queue_end(trailers.as_ref()),
            Self::Http2(client) => client.queue_end(trailers),
        }
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// When the client is gone, or takes nothing for too long.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientFailure>> {
        match self {
            Self::Http1(client) => client.poll_flush(context),
            Self::Http2(client) => client.poll_flush(context),
        }
    }

    /// Closes the connection behind the answer. A connection of HTTP/2 goes on with its other streams.
    pub fn close(&mut self) {
        if let Self::Http1(client) = self {
            client.close();
        }
    }

    /// Allows bodies at any rate, for a conversation.
    pub fn allow_any_rate(&mut self) {
        match self {
            Self::Http1(client) => client.allow_any_rate(),
            Self::Http2(client) => client.allow_any_rate(),
        }
    }
}
