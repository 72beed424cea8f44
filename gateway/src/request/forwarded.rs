//! The headers that describe the client and its request to the upstream.

use std::net::IpAddr;

use http::HeaderValue;
use ipnet::IpNet;
use pingora::Result;
use pingora::http::{KnownName, RequestHeader};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::Session;

use super::{Canonical, names};
use crate::context::{Context, Target};

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
pub(crate) fn is_https(session: &Session, trusted: &Trusted) -> bool {
    let claimed = || session.req_header().headers.get(names::FORWARDED_PROTO.lower());
    is_tls(session)
        || peer(session).is_some_and(|peer| trusted.contains(peer))
            && claimed().is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
}

/// The host that the client asked for, without a port: from the header of a trusted peer, else from the
/// request.
pub(crate) fn client_host<'r>(session: &'r Session, canonical: &'r Canonical, trusted: &Trusted) -> &'r str {
    let is_trusted = peer(session).is_some_and(|peer| trusted.contains(peer));
    let claimed = session.req_header().headers.get(names::FORWARDED_HOST.lower()).filter(|_| is_trusted);
    let claimed = claimed.and_then(|host| wire::split_authority(host.to_str().ok()?));
    claimed.map_or(canonical.host(), |(host, _)| host)
}

fn is_tls(session: &Session) -> bool {
    session.digest().is_some_and(|digest| digest.ssl_digest.is_some())
}

fn peer(session: &Session) -> Option<IpAddr> {
    session.client_addr().and_then(SocketAddr::as_inet).map(|peer| peer.ip().to_canonical())
}

/// Sets `X-Real-IP`, the `X-Forwarded-` headers and the request id. Fields from an untrusted peer are
/// overwritten, except `X-Forwarded-For`, which is extended.
pub(super) fn set(
    session: &Session,
    upstream: &mut RequestHeader,
    context: &Context,
    trusted: &Trusted,
) -> Result<()> {
    let peer = peer(session);
    let is_trusted = peer.is_some_and(|peer| trusted.contains(peer));
    let came = session.req_header();
    let mut fields = Fields::new(upstream, is_trusted);
    if let Some(peer) = peer {
        set_client(&mut fields, peer);
    }
    let scheme = if is_tls(session) { "https" } else { "http" };
    fields.set(&names::FORWARDED_PROTO, || HeaderValue::from_static(scheme));
    fields.set(&names::FORWARDED_HOST, || value(context.canonical.host()));
    if let Some(listener) = session.server_addr().and_then(SocketAddr::as_inet) {
        fields.set(&names::FORWARDED_PORT, || HeaderValue::from(listener.port()));
    }
    fields.set(&names::FORWARDED_PATH, || {
        HeaderValue::from_bytes(context.canonical.sent_path(came)).unwrap_or(EMPTY)
    });
    match prefix(context.target()?, context.canonical.path(came)) {
        Some(prefix) => fields.set(&names::FORWARDED_PREFIX, || value(prefix)),
        None => fields.remove(&names::FORWARDED_PREFIX),
    }
    fields.overwrite(&names::REQUEST_ID, context.request_id.clone());
    Ok(())
}

/// The fields of a request, which may include some that the gateway sets.
struct Fields<'r> {
    upstream: &'r mut RequestHeader,
    is_trusted: bool,
    /// Whether any of them can be present. All begin alike, and few clients send one. One pass over the
    /// received names costs less than a search for each of ours.
    any: bool,
}

impl<'r> Fields<'r> {
    fn new(upstream: &'r mut RequestHeader, is_trusted: bool) -> Self {
        let any = upstream.headers.keys().any(|name| name.as_str().starts_with("x-"));
        Self { upstream, is_trusted, any }
    }

    fn get(&self, name: &KnownName) -> Option<&HeaderValue> {
        if self.any { self.upstream.headers.get(name.lower()) } else { None }
    }

    /// Sets a field, unless it came from a trusted peer.
    fn set(&mut self, name: &'static KnownName, value: impl FnOnce() -> HeaderValue) {
        if !self.keeps(name) {
            self.overwrite(name, value());
        }
    }

    fn overwrite(&mut self, name: &'static KnownName, value: HeaderValue) {
        if self.any { self.upstream.set_known(name, value) } else { self.upstream.append_known(name, value) }
    }

    /// Removes a field, unless it came from a trusted peer.
    fn remove(&mut self, name: &'static KnownName) {
        if self.any && !self.keeps(name) {
            self.upstream.remove_header(name.lower());
        }
    }

    fn keeps(&self, name: &KnownName) -> bool {
        self.is_trusted && self.get(name).is_some()
    }
}

/// Converts `text` from a header or a target, which is always a valid field value.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(EMPTY)
}

const EMPTY: HeaderValue = HeaderValue::from_static("");

fn set_client(fields: &mut Fields<'_>, peer: IpAddr) {
    let own = address(peer);
    let forwarded = match chain(fields, &own) {
        Some(chain) => HeaderValue::try_from(chain).unwrap_or_else(|_| own.clone()),
        None => own.clone(),
    };
    fields.overwrite(&names::FORWARDED_FOR, forwarded);
    let claimed =
        fields.get(&names::REAL_IP).and_then(|claimed| claimed.to_str().ok()?.parse::<IpAddr>().ok());
    if !fields.is_trusted || claimed.is_none() {
        fields.overwrite(&names::REAL_IP, own);
    }
}

/// Writes an address without the formatting machinery, which costs more than the lookup of the route.
fn address(address: IpAddr) -> HeaderValue {
    let IpAddr::V4(address) = address else { return value(&address.to_string()) };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (at, byte) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for divisor in [100, 10, 1] {
            if byte >= divisor || divisor == 1 {
                text.push(char::from(b'0' + byte / divisor % 10));
            }
        }
    }
    value(&text)
}

/// The received chain and the peer; `None` when no chain was received.
fn chain(fields: &Fields<'_>, own: &HeaderValue) -> Option<Vec<u8>> {
    fields.get(&names::FORWARDED_FOR)?;
    let before = fields.upstream.headers.get_all(names::FORWARDED_FOR.lower()).iter();
    let all: Vec<&[u8]> = before.chain([own]).map(HeaderValue::as_bytes).collect();
    Some(all.join(&b", "[..]))
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
            assert_eq!(address(text.parse().unwrap()), text);
        }
    }
}
