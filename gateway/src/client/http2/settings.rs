//! What connections of HTTP/2 may be and take.

use std::time::Duration;

use crate::client::PaceTerms;

/// What a field counts beside its name and value (RFC 9113, section 6.5.2).
const LISTED_OVERHEAD: usize = 32;

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

impl Settings {
    /// The most bytes of a header that the library decodes. It answers larger ones by itself, without a body,
    /// and uncounted. So all that may be within the limits is let through, with each cookie in a field of its
    /// own.
    pub(super) fn max_header_list(&self) -> u32 {
        let fields = self.max_header_fields.saturating_mul(2).saturating_mul(LISTED_OVERHEAD);
        let all = self.max_header_bytes.saturating_add(self.max_target_bytes).saturating_add(fields);
        u32::try_from(all).unwrap_or(u32::MAX)
    }
}
