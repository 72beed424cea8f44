//! Accepts connections: on a port, with or without TLS, or on a Unix socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::places::Place;
use super::reserve::{Reserve, is_out_of_descriptors};
use super::{Address, Bound, Handler, HttpLimiter, Peer, connection};

/// The answer to a connection that gets no place. There is no request yet that could be answered.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
    Content-Length: 34\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{\"message\":\"Too many connections\"}";

/// The pause after accepting has failed.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound socket and its protocol.
#[derive(Debug)]
pub enum Listener {
    /// HTTP on a port.
    Tcp(TcpListener),
    /// HTTPS on a port; each handshake uses the current configuration.
    Tls(TcpListener, watch::Receiver<Arc<ServerConfig>>),
    /// HTTP on a Unix socket.
    Unix(UnixListener),
}

enum Accepted {
    Tcp(TcpStream, Peer),
    Unix(UnixStream, Peer),
}

/// Serves a listener until `stop`, and then until the last answer. It reserves `reserved` descriptors for its
/// own connections.
pub async fn serve<H: Handler>(
    listener: Listener,
    handler: H,
    shared: HttpLimiter,
    reserved: usize,
    stop: CancellationToken,
) {
    let reserve = Reserve::new(reserved);
    let mut connections = JoinSet::new();
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            // Connections that have ended return their descriptors.
            Some(_) = connections.join_next() => {
                reserve.refill();
                continue;
            }
        };
        match accepted {
            Ok(accepted) => {
                failing = false;
                listener.begin(accepted, &handler, &shared, &stop, &mut connections);
            }
            Err(error) if is_out_of_descriptors(&error) && reserve.release() => {}
            Err(error) => {
                // Logs once, not twenty times a second for as long as the failure lasts.
                if !std::mem::replace(&mut failing, true) {
                    warn!(%error, "cannot accept connections");
                }
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true).ok();
                let tls = matches!(self, Self::Tls(..));
                let local = stream.local_addr().ok();
                let peer = Peer { address: Address::Tcp(address), local, tls, certificates: Vec::new() };
                Ok(Accepted::Tcp(stream, peer))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let address = Address::Unix { uid: stream.peer_cred()?.uid() };
                Ok(Accepted::Unix(
                    stream,
                    Peer { address, local: None, tls: false, certificates: Vec::new() },
                ))
            }
        }
    }

    fn begin<H: Handler>(
        &self,
        accepted: Accepted,
        handler: &H,
        shared: &HttpLimiter,
        stop: &CancellationToken,
        connections: &mut JoinSet<()>,
    ) {
        let (handler, shared, stop) = (handler.clone(), shared.clone(), stop.clone());
        match accepted {
            Accepted::Tcp(stream, peer) => match (place(&shared, &peer), self) {
                (Some(place), Self::Tls(_, config)) => {
                    let config = Arc::clone(&config.borrow());
                    connections.spawn(secure(stream, config, peer, handler, shared, place, stop));
                }
                (Some(place), _) => {
                    connections.spawn(connection::run(stream, peer, handler, shared, place, stop));
                }
                (None, Self::Tls(..)) => {}
                // The connection ends, whether the client reads it or not.
                (None, _) => drop(stream.try_write(REFUSAL)),
            },
            Accepted::Unix(stream, peer) => match place(&shared, &peer) {
                Some(place) => {
                    connections.spawn(connection::run(stream, peer, handler, shared, place, stop));
                }
                None => drop(stream.try_write(REFUSAL)),
            },
        }
    }
}

fn place(shared: &HttpLimiter, peer: &Peer) -> Option<Place> {
    match shared.places.take(peer.address) {
        Some((place, false)) => Some(place),
        Some((place, true)) => {
            shared.met(Bound::Connections);
            Some(place)
        }
        None => {
            shared.met(Bound::Connections);
            None
        }
    }
}

async fn secure<H: Handler>(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    mut peer: Peer,
    handler: H,
    shared: HttpLimiter,
    place: Place,
    stop: CancellationToken,
) {
    let handshake = timeout(shared.limits.header_timeout, TlsAcceptor::from(config).accept(stream));
    let secured = tokio::select! {
        secured = handshake => secured,
        () = place.evicted.cancelled() => return,
        () = stop.cancelled() => return,
    };
    match secured {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            peer.certificates =
                shown.unwrap_or_default().iter().map(|shown| shown.clone().into_owned()).collect();
            connection::run(stream, peer, handler, shared, place, stop).await;
        }
        failed => {
            shared.met(Bound::Handshake);
            let reason = match failed {
                Ok(failed) => failed.err().map_or_else(String::new, |error| error.to_string()),
                Err(late) => late.to_string(),
            };
            debug!(from = %peer.address, reason, "a TLS handshake failed");
        }
    }
}
