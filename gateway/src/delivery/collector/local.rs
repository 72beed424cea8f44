//! The socket of the system's log.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use nix::errno::Errno;
use tokio::net::UnixDatagram;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Collector, Delivering, DeliveryFailure};
use crate::outbound::Outbound;

/// Bounds the time of a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A socket of this machine that takes datagrams, such as `/dev/log`.
#[derive(Debug)]
pub struct LocalSocket {
    /// The name of the plugin.
    pub plugin: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

impl Collector for LocalSocket {
    fn plugin(&self) -> &'static str {
        self.plugin
    }

    fn deliver<'a>(&'a self, _: Uuid, batch: &'a [Bytes], _: &'a Outbound) -> Delivering<'a> {
        Box::pin(async move {
            let sent = timeout(TIMEOUT, self.send(batch)).await;
            sent.unwrap_or(Err(DeliveryFailure::TimedOut))
        })
    }
}

impl LocalSocket {
    /// Sends each entry but those that are too long for the socket: they would be so at the next attempt, too, and
    /// hold up all others. A new socket each time: the program that reads may have been started again.
    async fn send(&self, batch: &[Bytes]) -> Result<(), DeliveryFailure> {
        let socket = UnixDatagram::unbound().map_err(DeliveryFailure::socket("open a socket"))?;
        socket.connect(&self.path).map_err(DeliveryFailure::socket("connect to the system's log"))?;
        for entry in batch {
            match socket.send(entry).await {
                Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => {}
                sent => sent.map(drop).map_err(DeliveryFailure::socket("write to the system's log"))?,
            }
        }
        Ok(())
    }
}
