//! The headers that describe the client and its request to the upstream.

use std::net::IpAddr;

use http::HeaderValue;
use ipnet::IpNet;
use smallvec::SmallVec;

use super::Target;
use crate::client::{Ends, Request};
use crate::message::{FieldSink, digits};
use crate::names::{self, Name};
use crate::request::Canonical;
use crate::request_id::RequestId;

/// Peers whose headers about the client are trusted: the operator's proxies.
#[derive(Clone, Debug, Default)]
pub struct Trusted(pub Vec<IpNet>);

impl Trusted {
    /// Whether the peer is trusted.
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&peer))
    }
}

/// Whether the client uses HTTPS: to the gateway, or to a trusted peer that says so.
pub(crate) fn is_https(request: &Request, ends: &Ends, trusted: &Trusted) -> bool {
    let claimed = || request.early_headers().get(&names::FORWARDED_PROTO.lower);
    ends.server_name.is_some()
        || trusted.contains(peer(ends))
            && claimed().is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The host that the client asked for, without a port: from the header of a trusted peer, else from the
/// request.
pub(crate) fn client_host<'r>(
    request: &'r Request,
    ends: &Ends,
    canonical: &'r Canonical,
    trusted: &Trusted,
) -> &'r str {
    let claimed =
        request.early_headers().get(&names::FORWARDED_HOST.lower).filter(|_| trusted.contains(peer(ends)));
    let claimed = claimed.and_then(|host| model::split_authority(host.to_str().ok()?));
    claimed.map_or(canonical.host(), |(host, _)| host)
}

/// The client's address: that of `X-Real-IP` of a trusted peer, else the peer's.
pub(crate) fn client_address(request: &Request, ends: &Ends, trusted: &Trusted) -> IpAddr {
    let peer = peer(ends);
    let claimed = request.early_headers().get(&names::REAL_IP.lower).filter(|_| trusted.contains(peer));
    claimed.and_then(|claimed| claimed.to_str().ok()?.parse().ok()).unwrap_or(peer)
}

fn peer(ends: &Ends) -> IpAddr {
    ends.client.ip().to_canonical()
}

/// Whether the gateway writes the field, so that a received one is not forwarded as it is.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    // All begin alike, and few clients send one.
    matches!(name, [b'x' | b'X', b'-', ..])
        && OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours.written.as_bytes()))
}

/// Whether the field says who the consumer is, which a client has no business to say.
pub(crate) fn is_claim(name: &[u8]) -> bool {
    matches!(name, [b'x' | b'X', b'-' | b'_', b'a' | b'A' | b'c' | b'C', ..])
        && CLAIMS.iter().any(|claim| is_mistaken_for(name, claim.lower.as_str().as_bytes()))
}

/// Whether upstreams may take one name of a field for the other: many cannot tell an underscore from a hyphen.
pub(crate) fn is_mistaken_for(one: &[u8], other: &[u8]) -> bool {
    let hyphen = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    let same = |(a, b): (&u8, &u8)| hyphen(a).eq_ignore_ascii_case(&hyphen(b));
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// Removes what a client claims about the consumer. A trusted peer may be a gateway that has authenticated it.
pub(crate) fn remove_claims(request: &mut Request, ends: &Ends, trusted: &Trusted) {
    if trusted.contains(peer(ends)) {
        return;
    }
    remove_all_claims(request);
}

/// Removes everything that says who the consumer is.
pub(crate) fn remove_all_claims(request: &mut Request) {
    request.remove_claims(is_claim);
}

/// Whether what the peer claims about the consumer is passed on.
pub(crate) fn takes_claims(ends: &Ends, trusted: &Trusted) -> bool {
    trusted.contains(peer(ends))
}

static CLAIMS: [&Name; 7] = [
    &names::ANONYMOUS_CONSUMER,
    &names::AUTHENTICATED_GROUPS,
    &names::CONSUMER_CUSTOM_ID,
    &names::CONSUMER_GROUPS,
    &names::CONSUMER_ID,
    &names::CONSUMER_USERNAME,
    &names::CREDENTIAL_IDENTIFIER,
];

static OURS: [&Name; 8] = [
    &names::FORWARDED_FOR,
    &names::FORWARDED_HOST,
    &names::FORWARDED_PATH,
    &names::FORWARDED_PORT,
    &names::FORWARDED_PREFIX,
    &names::FORWARDED_PROTO,
    &names::REAL_IP,
    &names::REQUEST_ID,
];

/// Writes `X-Real-IP`, the `X-Forwarded-` headers and the request id to `sink`. Fields from an untrusted peer
/// are overwritten, except `X-Forwarded-For`, which is extended.
pub(crate) fn write(
    sink: &mut dyn FieldSink,
    (request, ends): (&Request, &Ends),
    canonical: &Canonical,
    id: &RequestId,
    target: &Target,
    trusted: &Trusted,
) {
    let peer = peer(ends);
    let mut fields = Fields::new(sink, request, trusted.contains(peer));
    write_client(&mut fields, peer);
    let scheme = if ends.server_name.is_some() { "https" } else { "http" };
    fields.set(&names::FORWARDED_PROTO, scheme.as_bytes());
    fields.set(&names::FORWARDED_HOST, canonical.host().as_bytes());
    fields.set(&names::FORWARDED_PORT, &digits(ends.server.port().into()));
    fields.set(&names::FORWARDED_PATH, canonical.sent_path(request));
    if !fields.keep(&names::FORWARDED_PREFIX)
        && let Some(prefix) = prefix(target, canonical.path(request))
    {
        fields.sink.known(&names::FORWARDED_PREFIX, prefix.as_bytes());
    }
    sink.unique(&names::REQUEST_ID, id.as_bytes());
}

/// The fields of a request, which may include some that the gateway sets.
struct Fields<'r> {
    sink: &'r mut dyn FieldSink,
    request: &'r Request,
    is_trusted: bool,
    /// Whether any of them can be present. One pass over the received names costs less than a search for each
    /// of ours.
    any: bool,
}

impl<'r> Fields<'r> {
    fn new(sink: &'r mut dyn FieldSink, request: &'r Request, is_trusted: bool) -> Self {
        let any = request.early_headers().keys().any(|name| name.as_str().starts_with("x-"));
        Self { sink, request, is_trusted, any }
    }

    fn get(&self, name: &Name) -> Option<&'r HeaderValue> {
        if self.any { self.request.early_headers().get(&name.lower) } else { None }
    }

    /// Sets a field, unless it came from a trusted peer.
    fn set(&mut self, name: &'static Name, value: &[u8]) {
        if !self.keep(name) {
            self.sink.known(name, value);
        }
    }

    /// Forwards a field that came from a trusted peer. Returns whether it did.
    fn keep(&mut self, name: &'static Name) -> bool {
        if !self.is_trusted || self.get(name).is_none() {
            return false;
        }
        for value in self.request.early_headers().get_all(&name.lower) {
            self.sink.known(name, value.as_bytes());
        }
        true
    }
}

fn write_client(fields: &mut Fields<'_>, peer: IpAddr) {
    let own = address(peer);
    let request = fields.request;
    let claimed = fields.get(&names::REAL_IP).filter(|_| fields.is_trusted);
    let is_address =
        |claimed: &&HeaderValue| claimed.to_str().is_ok_and(|text| text.parse::<IpAddr>().is_ok());
    let client = claimed.filter(is_address).map_or(&own[..], HeaderValue::as_bytes);
    match fields.get(&names::FORWARDED_FOR) {
        // As in Kong: the peer belongs to a chain, which a trusted one has not begun.
        None => fields.sink.known(&names::FORWARDED_FOR, client),
        Some(_) => {
            let chain = request
                .early_headers()
                .get_all(&names::FORWARDED_FOR.lower)
                .iter()
                .map(HeaderValue::as_bytes);
            let chain: Vec<_> = chain.chain([&own[..]]).collect();
            fields.sink.known(&names::FORWARDED_FOR, &chain.join(&b", "[..]));
        }
    }
    fields.sink.known(&names::REAL_IP, client);
}

/// The text of an address; the longest is one of IPv6 with an IPv4 address in it.
type Text = SmallVec<[u8; 46]>;

/// Writes an address without the formatting machinery, which costs more than the lookup of the route.
fn address(address: IpAddr) -> Text {
    let IpAddr::V4(address) = address else { return SmallVec::from_slice(address.to_string().as_bytes()) };
    let mut text = Text::new();
    for (at, byte) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push(b'.');
        }
        text.extend_from_slice(&digits(byte.into()));
    }
    text
}

/// The part that is stripped from the path, when it is more than a slash.
fn prefix<'p>(target: &Target, path: &'p str) -> Option<&'p str> {
    path.get(..target.matched).filter(|prefix| target.route.strip_path && !matches!(*prefix, "" | "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everywhere() {
        for text in ["0.0.0.0", "127.0.0.1", "9.10.99.100", "101.200.255.5", "::1", "2001:db8::a"] {
            assert_eq!(&address(text.parse().unwrap())[..], text.as_bytes());
        }
    }

    #[test]
    fn claims_are_known_in_any_spelling() {
        for name in
            ["x-consumer-id", "X_Consumer_Username", "x-credential_identifier", "X-Anonymous-Consumer"]
        {
            assert!(is_claim(name.as_bytes()), "{name}");
        }
        for name in ["x", "x-consumer", "x-consumer-idx", "x-content-type-options", "consumer-id"] {
            assert!(!is_claim(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn our_names_are_known_in_any_case() {
        for name in ["x-real-ip", "X-FORWARDED-FOR", "X-Kong-Request-Id"] {
            assert!(is_ours(name.as_bytes()), "{name}");
        }
        for name in ["x", "x-real", "real-ip", "forwarded"] {
            assert!(!is_ours(name.as_bytes()), "{name}");
        }
    }
}
