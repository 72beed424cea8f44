//! Probes by connecting.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::failure::tcp_failure;
use super::probe::ProbeOutcome;

/// Connects to `address`, and closes the connection.
pub(super) async fn probe(address: SocketAddr) -> ProbeOutcome {
    match TcpStream::connect(address).await {
        Ok(_) => ProbeOutcome::Success,
        Err(error) => tcp_failure(&error),
    }
}
