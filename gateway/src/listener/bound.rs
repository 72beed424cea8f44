//! Binds listeners before anything is started, so that a port in use is an error at once. Pingora itself
//! would try for half a minute and then panic.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::apps::ServerApp;
use pingora::listeners::ListenerConfig;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::Service as PingoraService;
use pingora::services::listening::Service;

use super::Inherited;
use crate::draining::Draining;

/// None: the codecs read into buffers of their own, which they give back while a connection is idle. Pingora
/// would keep its own as long as the connection is open.
const BUFFER: L4BufferSettings = L4BufferSettings { read: Some(0), write: Some(0) };

/// Bound listeners, not accepting yet.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<(SocketAddr, TcpListener)>,
}

/// Why the gateway cannot listen on an address.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {source}; is another program using this port, or is the address not this machine's?"
)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The error of the operating system.
    pub source: io::Error,
}

/// An application on its listeners. It stops accepting when `draining` begins, whatever Pingora's own watch
/// says: Gibbon waits for requests in flight before Pingora begins to shut down.
pub struct Listening<A> {
    service: Service<A>,
    fds: ListenFds,
    draining: Draining,
}

impl Bound {
    /// Binds every address.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        Self::inherit_or_bind(addresses, &mut Inherited::default())
    }

    /// Uses the inherited listeners on these addresses, and binds the other addresses.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub fn inherit_or_bind(addresses: &[SocketAddr], inherited: &mut Inherited) -> Result<Self, BindError> {
        let listeners = addresses.iter().map(|&address| {
            let listener = inherited.listener(address).map_or_else(|| TcpListener::bind(address), Ok);
            let listener = listener.and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok((listener.local_addr()?, listener))
            });
            listener.map_err(|source| BindError { address, source })
        });
        Ok(Self { listeners: listeners.collect::<Result<_, _>>()? })
    }

    /// Duplicates the descriptors of the listeners, to be handed over in an upgrade.
    ///
    /// # Errors
    /// When the process may have no more descriptors.
    pub fn duplicates(&self) -> io::Result<Vec<TcpListener>> {
        self.listeners.iter().map(|(_, listener)| listener.try_clone()).collect()
    }

    /// The addresses bound, with the ports that the operating system chose for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(address, _)| *address).collect()
    }

    /// The listeners, for a caller that accepts without Pingora.
    pub fn into_listeners(self) -> Vec<TcpListener> {
        self.listeners.into_iter().map(|(_, listener)| listener).collect()
    }

    /// Creates the service of `app` on these listeners, until `draining` begins.
    pub fn serve<A>(self, name: &str, app: A, draining: Draining) -> Listening<A> {
        let mut service = Service::new(name.to_owned(), app);
        let mut fds = Fds::new();
        for (address, listener) in self.listeners {
            // Pingora finds an inherited listener by the text of its address.
            let address = address.to_string();
            service.add_listener(ListenerConfig::tcp(&*address).l4_buffer(BUFFER));
            fds.add(address, listener.into_raw_fd());
        }
        Listening { service, fds: Arc::new(Mutex::new(fds)), draining }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> PingoraService for Listening<A> {
    async fn start_service(&mut self, _: Option<ListenFds>, _: ShutdownWatch, listeners_per_fd: usize) {
        let stop = self.draining.watch();
        self.service.start_service(Some(self.fds.clone()), stop, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }
}

impl<A> fmt::Debug for Listening<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening").field("draining", &self.draining).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_an_error_at_once() {
        let first = Bound::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let error = Bound::bind(&first.addresses()).unwrap_err();
        assert_eq!(error.address, first.addresses()[0]);
    }
}
