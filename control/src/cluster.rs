//! The side of the cluster that pushes: the listener on 8005, a session for each data plane, and the
//! registry of who is connected.

mod connection;
pub(crate) mod guard;
mod registry;
mod session;

use std::sync::Arc;
use std::time::Duration;

use node::link::{self, LinkError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;
use wire::CloseCode;

use self::connection::Context;
pub use self::guard::{Guard, GuardError, Watch};
pub use self::registry::{KEPT, Pending, Registry};
use self::session::{Identity, Timing};
use crate::metrics::ClusterMetrics;
use crate::publish::Publisher;

/// From the last frame of an update until its ack: building a table of a million routes fits in.
const ACK: Duration = Duration::from_secs(60);
/// From the upgrade until the hello.
const HELLO: Duration = Duration::from_secs(10);
/// Connections on which data planes have not shown a certificate yet; further ones wait in the backlog.
const HANDSHAKES: usize = 256;

/// What the listener needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This control plane's id.
    pub node_id: Uuid,
    /// This program's version.
    pub version: String,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Who is let in.
    pub guard: Guard,
}

/// Takes in data planes until `stop`, then says goodbye to those connected.
pub async fn listen(
    listener: TcpListener,
    settings: Settings,
    publisher: Publisher,
    registry: Registry,
    metrics: ClusterMetrics,
    stop: CancellationToken,
) {
    let context = Context {
        identity: Identity { node_id: settings.node_id, program: settings.version },
        timing: Timing { heartbeat: settings.heartbeat, ack: ACK, hello: HELLO },
        publisher,
        registry,
        metrics,
    };
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let mut connections = JoinSet::new();
    loop {
        // Never closed, so there is always a permit to be had in the end.
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let greeting = greet(stream, settings.guard.clone(), permit, context.clone(), stop.clone());
                connections.spawn(greeting);
            }
            // Out of descriptors, or a connection that is gone already: the next may fare better.
            Err(error) => {
                warn!(%error, "cannot accept a data plane");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Lets a data plane in, or refuses it before a byte of configuration has left.
async fn greet(
    stream: TcpStream,
    guard: Guard,
    permit: OwnedSemaphorePermit,
    context: Context,
    stop: CancellationToken,
) {
    let address = stream.peer_addr();
    let accepted = link::accept(stream, guard.tls()).await;
    drop(permit);
    match accepted {
        Ok((mut link, peer)) => match guard.admit(&peer.certificate) {
            Ok(permit) => connection::serve(link, peer, permit, context, stop).await,
            Err(reason) => {
                warn!(?address, "a connection to the cluster listener was refused: {reason}");
                link.close(CloseCode::Forbidden.number(), &reason).await;
            }
        },
        Err(error) => {
            refused(&error, &context.metrics);
            warn!(?address, "a connection to the cluster listener was refused: {error}");
        }
    }
}

fn refused(error: &LinkError, metrics: &ClusterMetrics) {
    metrics.handshakes_refused.with_label_values(&[error.reason()]).inc();
}
