//! The headers that tell the upstream who asked, and for what.

use std::net::IpAddr;

use http::HeaderValue;
use http::header::HeaderName;
use ipnet::IpNet;
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::proxy::Session;

use crate::context::Context;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Peers whose own word on the client is taken: proxies of the operator's.
#[derive(Clone, Debug, Default)]
pub struct Trusted(pub Vec<IpNet>);

impl Trusted {
    /// Whether the peer is one of them.
    pub fn contains(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&peer))
    }
}

/// Sets `X-Real-IP` and the `X-Forwarded-` headers. Those that came from a peer who is not trusted are
/// overwritten, but for `X-Forwarded-For`, which grows.
pub(super) fn set(
    session: &Session,
    upstream: &mut RequestHeader,
    context: &Context,
    trusted: &Trusted,
) -> Result<()> {
    let peer = session.client_addr().and_then(SocketAddr::as_inet).map(|peer| peer.ip().to_canonical());
    let is_trusted = peer.is_some_and(|peer| trusted.contains(peer));
    if let Some(peer) = peer {
        set_client(session, upstream, peer, is_trusted)?;
    }
    let keeps = |upstream: &RequestHeader, name| is_trusted && upstream.headers.contains_key(name);
    if !keeps(upstream, "x-forwarded-proto") {
        // TLS listeners are to come; until then every request is plaintext.
        upstream.insert_header("X-Forwarded-Proto", HeaderValue::from_static("http"))?;
    }
    if !keeps(upstream, "x-forwarded-host") {
        let host = context.canonical.host(session.req_header());
        upstream.insert_header("X-Forwarded-Host", HeaderValue::from_str(host).unwrap_or(EMPTY))?;
    }
    if !keeps(upstream, "x-forwarded-port")
        && let Some(listener) = session.server_addr().and_then(SocketAddr::as_inet)
    {
        upstream.insert_header("X-Forwarded-Port", HeaderValue::from(listener.port()))?;
    }
    if !keeps(upstream, "x-forwarded-path") {
        let path = session.req_header().uri.path();
        upstream.insert_header("X-Forwarded-Path", HeaderValue::from_str(path).unwrap_or(EMPTY))?;
    }
    if !keeps(upstream, "x-forwarded-prefix") {
        set_prefix(session, upstream, context)?;
    }
    Ok(())
}

const EMPTY: HeaderValue = HeaderValue::from_static("");

fn set_client(session: &Session, upstream: &mut RequestHeader, peer: IpAddr, is_trusted: bool) -> Result<()> {
    let peer_value = HeaderValue::try_from(peer.to_string()).unwrap_or(EMPTY);
    let before = &session.req_header().headers;
    let chain: Vec<&[u8]> = before.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    if chain.is_empty() {
        upstream.insert_header("X-Forwarded-For", &peer_value)?;
    } else {
        let chain = [&chain.join(&b", "[..])[..], b", ", peer_value.as_bytes()].concat();
        upstream.insert_header("X-Forwarded-For", chain)?;
    }
    let claimed = before.get(X_REAL_IP).and_then(|claimed| claimed.to_str().ok()?.parse::<IpAddr>().ok());
    if !is_trusted || claimed.is_none() {
        upstream.insert_header("X-Real-IP", peer_value)?;
    }
    Ok(())
}

/// What was taken off the path, when it is more than a slash.
fn set_prefix(session: &Session, upstream: &mut RequestHeader, context: &Context) -> Result<()> {
    let target = context.target()?;
    let path = context.canonical.path(session.req_header());
    match path.get(..target.matched).filter(|prefix| target.route.strip_path && !matches!(*prefix, "" | "/"))
    {
        Some(prefix) => {
            upstream.insert_header("X-Forwarded-Prefix", HeaderValue::from_str(prefix).unwrap_or(EMPTY))
        }
        None => {
            upstream.remove_header("x-forwarded-prefix");
            Ok(())
        }
    }
}
