//! Connects to an upstream: to the first of its addresses that accepts, then TLS.

mod race;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use self::race::race;
use super::failure::UpstreamFailure;
use super::io::Io;
use super::terms::{Protocol, Terms, TlsTerms};

/// Connects to one of `addresses`, which are tried in this order, under `terms`. All of it takes no longer
/// than `limit`. Returns the address, too.
///
/// # Errors
/// The last refusal when no address accepts, or that of the TLS handshake.
pub(super) async fn dial(
    terms: &Terms,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<(Io, SocketAddr), UpstreamFailure> {
    timeout(limit, connect(terms, addresses)).await.unwrap_or(Err(UpstreamFailure::ConnectTimedOut))
}

async fn connect(terms: &Terms, addresses: &[SocketAddr]) -> Result<(Io, SocketAddr), UpstreamFailure> {
    let connected = race(addresses, TcpStream::connect).await;
    let (stream, address) = connected.map_err(|error| UpstreamFailure::connect(&error))?;
    // Without it small writes wait for the acknowledgement of earlier ones. A connection works without it.
    stream.set_nodelay(true).ok();
    let io = match terms.handshake() {
        Some(tls) => handshake(tls, stream, terms.protocol()).await?,
        None => Io::Tcp(stream),
    };
    Ok((io, address))
}

async fn handshake(tls: &TlsTerms, stream: TcpStream, protocol: Protocol) -> Result<Io, UpstreamFailure> {
    let stream = tls.connector().connect(tls.name(), stream).await.map_err(UpstreamFailure::tls)?;
    if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(UpstreamFailure::invalid("HTTP/2 was not negotiated"));
    }
    Ok(Io::Tls(Box::new(stream)))
}
