//! The protocols of upstreams.

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: one request at a time.
    Http1,
    /// HTTP/2, negotiated by TLS, or by prior knowledge without TLS.
    Http2,
}
