//! Creates peers for Pingora's connector: an address of a service's host, with the service's timeouts.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pingora::upstreams::peer::{ALPN, HttpPeer};
use tokio::time::Instant;

use super::{Addresses, Policy, Resolver};
use crate::context::{Target, Upstream};
use crate::error::RequestFailure;
use crate::route::{Host, Service};

/// How long an unused connection to an upstream is kept; Kong's default.
const IDLE: Duration = Duration::from_secs(60);

/// The most streams on one HTTP/2 connection, if the upstream allows as many; nginx accepts no more.
const STREAMS: usize = 128;

/// Chooses the peer for the next attempt, and counts the attempt.
///
/// # Errors
/// [`RequestFailure::NameResolution`] when the service's host has no address,
/// [`RequestFailure::UpstreamDenied`] when it has none that the policy allows.
pub async fn next_peer(
    upstream: &mut Upstream,
    target: &Target,
    resolver: &Resolver,
    policy: &Policy,
) -> Result<Box<HttpPeer>, RequestFailure> {
    upstream.started.get_or_insert_with(Instant::now);
    let service = &*target.service;
    if upstream.addresses.is_none() {
        let (name, addresses) = match &service.host {
            Host::Address(address) => (None, Addresses::one(*address)),
            Host::Name(name) => {
                (Some(&**name), resolver.resolve(name).await.ok_or(RequestFailure::NameResolution)?)
            }
        };
        // Every attempt uses one of these: the gateway connects to no other address.
        let may_dial = |address| policy.allows(service.id, name, SocketAddr::new(address, service.port));
        upstream.addresses = Some(addresses.only(may_dial).ok_or(RequestFailure::UpstreamDenied)?);
    }
    let addresses = upstream.addresses.as_ref().ok_or(RequestFailure::Internal)?;
    let address = addresses.nth(upstream.attempts.into());
    upstream.attempts = upstream.attempts.saturating_add(1);
    Ok(Box::new(peer(service, address)))
}

/// Creates a peer. Connections are reused by address, scheme, server name and verification, all of which are
/// the peer's own, and by the group of certificates. Services that agree in all of these share connections.
fn peer(service: &Service, address: IpAddr) -> HttpPeer {
    let address = SocketAddr::new(address, service.port);
    let mut peer = HttpPeer::new(address, service.tls, server_name(service));
    let options = &mut peer.options;
    options.connection_timeout = Some(service.connect_timeout);
    // Without it a TLS handshake could last for ever.
    options.total_connection_timeout = Some(service.connect_timeout);
    options.read_timeout = Some(service.read_timeout);
    options.write_timeout = Some(service.write_timeout);
    options.idle_timeout = Some(IDLE);
    if service.http2 {
        // Without TLS nothing is negotiated: HTTP/2 is used by prior knowledge.
        options.alpn = ALPN::H2;
        options.max_h2_streams = STREAMS;
    }
    options.verify_cert = service.tls_verify;
    options.verify_hostname = service.tls_verify;
    if let Some(trust) = &service.trust {
        trust.set(&mut peer);
    }
    peer
}

/// The name sent to the upstream and verified. Pingora verifies nothing when it is empty, so with TLS it
/// never is. rustls sends no name that is an address (RFC 6066, section 3).
fn server_name(service: &Service) -> String {
    match &service.host {
        _ if !service.tls => String::new(),
        Host::Name(name) => name.as_ref().to_owned(),
        Host::Address(address) => address.to_string(),
    }
}
