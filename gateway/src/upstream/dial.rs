//! Connects to an upstream: to the first of its addresses that accepts, then TLS.

mod race;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use self::race::race;
use super::failure::UpstreamFailure;
use super::io::Io;
use super::protocol::Protocol;
use super::terms::{Terms, TlsTerms};

/// How long nothing comes before an upstream of HTTP/2 is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(30);
/// How long each of two questions waits for the sign.
const PROBE: Duration = Duration::from_secs(5);

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
    if terms.protocol() == Protocol::Http2 {
        find_end(&stream).map_err(|error| UpstreamFailure::connect(&error))?;
    }
    // Without it small writes wait for the acknowledgement of earlier ones. A connection works without it.
    stream.set_nodelay(true).ok();
    let io = match terms.handshake() {
        Some(tls) => handshake(tls, stream, terms.protocol()).await?,
        None => Io::Tcp(stream),
    };
    Ok((io, address))
}

/// Makes the kernel find out when the upstream is dead: it then sends no end of the connection. Many streams would
/// wait on such a connection, and more would begin. Pings of HTTP/2 would do as well, but servers of gRPC
/// end a connection on which streams are quiet and pings come often.
fn find_end(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new().with_time(QUIET).with_interval(PROBE).with_retries(2);
    socket.set_tcp_keepalive(&probes)?;
    // While bytes wait for an acknowledgement there are no probes.
    socket.set_tcp_user_timeout(Some(QUIET + 2 * PROBE))
}

async fn handshake(tls: &TlsTerms, stream: TcpStream, protocol: Protocol) -> Result<Io, UpstreamFailure> {
    let stream = tls.connector().connect(tls.name(), stream).await.map_err(UpstreamFailure::tls)?;
    if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(UpstreamFailure::invalid("HTTP/2 was not negotiated"));
    }
    Ok(Io::Tls(Box::new(stream)))
}
