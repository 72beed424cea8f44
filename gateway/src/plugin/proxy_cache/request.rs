//! What the cache needs of a request.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, RANGE, UPGRADE};

use crate::answer_cache::{Directives, KeyTerms, Keys, RequestParts};
use crate::message::Framing;
use crate::plugin::Exchange;

/// The longest body of a request whose answer is kept, in bytes: it is part of the key.
pub(super) const LONGEST_BODY: usize = 64 * 1024;

/// The directives of a request.
pub(super) fn directives(headers: &HeaderMap) -> Directives {
    Directives::read(headers.get_all(CACHE_CONTROL).iter().map(|value| value.as_bytes()))
}

/// Whether the answer to such a request can be given to others at all.
pub(super) fn is_cacheable(exchange: &Exchange<'_>) -> bool {
    let has_short_body = match exchange.framing() {
        Framing::Empty => true,
        Framing::Length(length) => length <= LONGEST_BODY as u64,
        _ => false,
    };
    has_short_body && !exchange.is_grpc() && !exchange.headers().contains_key(UPGRADE)
}

/// Whether a request has a body.
pub(super) fn has_body(exchange: &Exchange<'_>) -> bool {
    exchange.framing() != Framing::Empty
}

/// Whether a request is for a part of a body.
pub(super) fn is_for_a_part(headers: &HeaderMap) -> bool {
    headers.contains_key(RANGE)
}

/// Whether others may wait for the answer to a request: it must be one that they can have.
pub(super) fn may_lead(headers: &HeaderMap) -> bool {
    !is_for_a_part(headers) && !headers.keys().any(|name| name.as_str().starts_with("if-"))
}

/// The keys of a request.
pub(super) fn keys(exchange: &Exchange<'_>, body: &[u8], terms: &KeyTerms) -> Keys {
    let authority = exchange.sent_authority();
    let request = RequestParts {
        consumer: exchange.consumer().map(|consumer| consumer.id),
        route: exchange.route().map(|route| route.id),
        method: exchange.method().as_str(),
        is_head: exchange.is_head(),
        path: exchange.sent_path(),
        query: exchange.query(),
        is_https: exchange.is_https(),
        authority: authority.as_deref().unwrap_or_default(),
        upstream_path: exchange.upstream_path(),
        upstream_host: exchange.upstream_host().map(http::HeaderValue::as_bytes),
        headers: exchange.headers(),
        body,
    };
    Keys::of(&request, terms)
}
