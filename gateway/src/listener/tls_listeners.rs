//! The listeners whose connections begin with a TLS handshake.

use std::net::SocketAddr;

use pingora::protocols::Stream;

use super::Handshake;

/// The listeners with TLS.
#[derive(Debug)]
pub struct TlsListeners {
    /// Their addresses.
    pub addresses: Vec<SocketAddr>,
    /// The handshake on a new connection.
    pub handshake: Handshake,
}

impl TlsListeners {
    /// Does the handshake if `stream` came by one of the listeners; `None` when it fails.
    pub(crate) async fn secure(&self, stream: Stream) -> Option<Stream> {
        // In a box, since connections without TLS need not be as large.
        if self.has(&stream) { Box::pin(self.handshake.accept(stream)).await } else { Some(stream) }
    }

    fn has(&self, stream: &Stream) -> bool {
        let local = stream.get_socket_digest().and_then(|digest| digest.local_addr()?.as_inet().copied());
        local.is_some_and(|local| self.addresses.iter().any(|address| is_at(local, *address)))
    }
}

/// Whether a connection to `local` belongs to the listener at `address`, which may be on any interface.
fn is_at(local: SocketAddr, address: SocketAddr) -> bool {
    let same_host = || local.ip().to_canonical() == address.ip().to_canonical();
    local.port() == address.port() && (address.ip().is_unspecified() || same_host())
}
