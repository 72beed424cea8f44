//! The control plane's side of the cluster: the listener on 8005, a session for each data plane, and the
//! registry of data planes.

pub(crate) mod admission;
mod connection;
mod health;
mod places;
mod registry;
mod session;

use std::net::SocketAddr;
use std::time::Duration;

use node::link::{self, Limits, LinkError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;
use wire::CloseCode;

pub use self::admission::{Admission, AdmissionError, AdmissionReloader};
use self::connection::Context;
pub use self::health::{Finding, FleetHealth, GRACE, Sighted, Sighting, TargetCounts, Wanted};
use self::places::{Place, Places};
pub use self::registry::{KEPT, Pending, Registry};
use self::session::{Identity, Timing};
use crate::metrics::{ClusterMetrics, rejections};
use crate::publish::Publisher;

/// Timeout for the ack of a data plane that is alive, from the last frame of the update. It may build a large
/// table, and frames that the kernel has accepted may still be on their way over a slow line.
const ACK: Duration = Duration::from_secs(600);
/// Timeout for the hello, from the upgrade.
const HELLO: Duration = Duration::from_secs(10);
/// Timeout for the certificate and the upgrade request, from the first packet.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections at once, with and without a completed handshake.
const CONNECTIONS: usize = 10_000;
/// Delay after an error of the listener.
const PAUSE: Duration = Duration::from_millis(100);
/// Time between two log lines about the same error of the listener.
const QUIET: Duration = Duration::from_secs(60);

/// Settings of the cluster's listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This control plane's id.
    pub node_id: Uuid,
    /// This program's version.
    pub version: String,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Decides which data planes may connect.
    pub admission: Admission,
}

/// Accepts data planes until `stop`, then sends a close to the connected ones.
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
    let places = Places::default();
    let (mut failing, mut crowded) = (Complaint::default(), Complaint::default());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                let place = (connections.len() < CONNECTIONS).then(|| places.take(address.ip())).flatten();
                let Some(place) = place else {
                    context.metrics.handshakes_refused.with_label_values(&[rejections::CROWDED]).inc();
                    if crowded.is_due() {
                        warn!(%address, "a connection to the cluster listener was refused: there are too many");
                    }
                    continue;
                };
                let admission = settings.admission.clone();
                connections.spawn(greet(stream, address, admission, place, context.clone(), stop.clone()));
            }
            // The process is out of descriptors, or the connection is gone already: the next may succeed.
            Err(error) => {
                if failing.is_due() {
                    warn!(%error, "cannot accept a data plane");
                }
                places.shed_oldest();
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Limits the log lines of an error that recurs with each connection.
#[derive(Debug, Default)]
struct Complaint(Option<Instant>);

impl Complaint {
    fn is_due(&mut self) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= QUIET);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}

/// Admits a data plane, or rejects it before it gets a byte of configuration.
async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    admission: Admission,
    place: Place,
    context: Context,
    stop: CancellationToken,
) {
    let limits = Limits { handshake: HANDSHAKE, ..Limits::default() };
    let accepted = tokio::select! {
        () = stop.cancelled() => return,
        () = place.shed.cancelled() => {
            context.metrics.handshakes_refused.with_label_values(&[rejections::CROWDED]).inc();
            return;
        }
        accepted = link::accept_with(&limits, stream, admission.tls()) => accepted,
    };
    drop(place);
    match accepted {
        Ok((mut link, peer)) => match admission.admit(&peer.certificate) {
            Ok(permit) => connection::serve(link, peer, permit, context, stop).await,
            Err(reason) => {
                warn!(%address, "a connection to the cluster listener was refused: {reason}");
                link.close(CloseCode::Forbidden.number(), &reason).await;
            }
        },
        Err(error) => {
            refused(&error, &context.metrics);
            warn!(%address, "a connection to the cluster listener was refused: {error}");
        }
    }
}

fn refused(error: &LinkError, metrics: &ClusterMetrics) {
    metrics.handshakes_refused.with_label_values(&[error.reason()]).inc();
}
