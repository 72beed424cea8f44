//! What the cache needs of a request.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONNECTION, RANGE, UPGRADE};

use crate::answer_cache::{Directives, KeyTerms, Keys, RequestParts};
use crate::message::Framing;
use crate::plugin::Exchange;
use crate::plugin::user_mark::UserMark;
use crate::request::forwarded::is_claim;

/// The longest body of a request whose answer is kept, in bytes: it is part of the key.
pub(super) const LONGEST_BODY: usize = 64 * 1024;

/// What `Connection` may list beside fields that keys or the `Vary` of an answer have.
const OPTIONS: [&[u8]; 5] = [b"close", b"keep-alive", b"te", b"upgrade", b"http2-settings"];

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
    let headers = exchange.headers();
    has_short_body && !exchange.is_grpc() && !headers.contains_key(UPGRADE) && !hides_fields(headers)
}

/// Whether `Connection` lists fields. The upstream does not get them, and answers a request without them: that is
/// no answer to clients that send the same fields for the upstream.
fn hides_fields(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(CONNECTION).iter();
    let names = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let is_option = |name: &[u8]| OPTIONS.iter().any(|option| name.eq_ignore_ascii_case(option));
    names.filter(|name| !name.is_empty()).any(|name| !is_option(name))
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

/// Who sent a request, beyond its consumer. A trusted peer that has authenticated the user says so in fields; those
/// of a known consumer say nothing more.
fn user(exchange: &Exchange<'_>) -> UserMark {
    let mark = UserMark::of(exchange);
    if exchange.consumer().is_some() {
        return mark;
    }
    let claims = exchange.headers().iter().filter(|(name, _)| is_claim(name.as_str().as_bytes()));
    let mut claims: Vec<_> = claims.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    claims.sort_unstable();
    mark.with(claims)
}

/// The keys of a request.
pub(super) fn keys(exchange: &Exchange<'_>, body: &[u8], terms: &KeyTerms) -> Keys {
    let authority = exchange.sent_authority();
    let user = user(exchange);
    let request = RequestParts {
        consumer: exchange.consumer().map(|consumer| consumer.id),
        user: user.as_bytes(),
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
