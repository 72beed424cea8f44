//! The header of an upstream's answer: what it may be, and what is taken out of it.

use http::HeaderName;
use http::header::{CONNECTION, UPGRADE};
use pingora::http::ResponseHeader;

use super::header_bytes;
use crate::request::names;

/// What the header of an upstream's answer may be.
#[derive(Clone, Copy, Debug)]
pub struct AnswerLimits {
    /// The most bytes of header fields.
    pub header_bytes: usize,
    /// The most header fields.
    pub header_fields: usize,
}

impl AnswerLimits {
    pub(super) fn allow(&self, response: &ResponseHeader) -> bool {
        response.headers.len() <= self.header_fields && header_bytes(&response.headers) <= self.header_bytes
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Pingora strips them off requests, not off responses (RFC 9110, section 7.6.1). An upgrade needs them.
pub(super) fn strip_hop_by_hop(response: &mut ResponseHeader) {
    if response.status == 101 || !response.headers.keys().any(is_hop_by_hop) {
        return;
    }
    let nominations = response.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let nominated: Vec<_> =
        nominations.flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
    nominated.iter().for_each(|name| drop(response.remove_header(name.as_str())));
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &UPGRADE] {
        response.remove_header(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(name.as_str(), "connection" | "keep-alive" | "proxy-connection" | "upgrade")
}

/// An upstream that is a gateway itself has set them, too.
pub(super) fn remove_ours(response: &mut ResponseHeader) {
    if response.headers.keys().any(|name| name.as_str().starts_with("x-kong-")) {
        for name in [&names::REQUEST_ID, &names::PROXY_LATENCY, &names::UPSTREAM_LATENCY] {
            response.remove_header(name.lower());
        }
    }
}
