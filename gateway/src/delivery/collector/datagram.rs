//! Collectors that take datagrams.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Collector, Delivering, DeliveryFailure};
use crate::outbound::Outbound;
use crate::upstream::Host;

/// The most bytes of a datagram over IPv4.
pub const MOST_BYTES: usize = 65_507;

/// A collector that takes datagrams of UDP. Whether one arrives is not known.
#[derive(Debug)]
pub struct Datagrams {
    /// The name of the plugin.
    pub plugin: &'static str,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Bounds the time of a batch.
    pub timeout: Duration,
    /// The lines of entries are joined to datagrams of at most this many bytes; 0: each line is one.
    pub joined: usize,
}

impl Collector for Datagrams {
    fn plugin(&self) -> &'static str {
        self.plugin
    }

    fn deliver<'a>(&'a self, id: Uuid, batch: &'a [Bytes], outbound: &'a Outbound) -> Delivering<'a> {
        Box::pin(async move {
            let sent = timeout(self.timeout, self.send(id, batch, outbound)).await;
            sent.unwrap_or(Err(DeliveryFailure::TimedOut))
        })
    }
}

impl Datagrams {
    async fn send(&self, id: Uuid, batch: &[Bytes], outbound: &Outbound) -> Result<(), DeliveryFailure> {
        let addresses = outbound.addresses_of(id, &self.host, self.port).await?;
        let Some(address) = addresses.first() else { return Ok(()) };
        let any = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await.map_err(DeliveryFailure::socket("open a socket"))?;
        for datagram in datagrams(batch, self.joined) {
            let sent = socket.send_to(&datagram, address).await;
            sent.map_err(DeliveryFailure::socket("send a datagram"))?;
        }
        Ok(())
    }
}

/// The datagrams of a batch. A line that fits into none is left out.
fn datagrams(batch: &[Bytes], joined: usize) -> Vec<Bytes> {
    let lines =
        batch.iter().flat_map(|entry| entry.split(|byte| *byte == b'\n').map(|line| entry.slice_ref(line)));
    let lines = lines.filter(|line| line.len() <= MOST_BYTES);
    if joined == 0 {
        return lines.collect();
    }
    let (mut all, mut next) = (Vec::new(), BytesMut::new());
    for line in lines {
        if !next.is_empty() && next.len() + 1 + line.len() > joined.min(MOST_BYTES) {
            all.push(next.split().freeze());
        }
        if !next.is_empty() {
            next.extend_from_slice(b"\n");
        }
        next.extend_from_slice(&line);
    }
    if !next.is_empty() {
        all.push(next.freeze());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_up_to_the_size() {
        let batch = ["aaa\nbbb", "cccc", "dddddddddd"].map(Bytes::from);
        let texts = |joined| -> Vec<String> {
            let all = datagrams(&batch, joined).into_iter();
            all.map(|datagram| String::from_utf8(datagram.to_vec()).unwrap()).collect()
        };
        assert_eq!(texts(0), ["aaa", "bbb", "cccc", "dddddddddd"]);
        assert_eq!(texts(7), ["aaa\nbbb", "cccc", "dddddddddd"]);
        assert_eq!(texts(65_507), ["aaa\nbbb\ncccc\ndddddddddd"]);
        assert!(datagrams(&[Bytes::from(vec![0; MOST_BYTES + 1])], 0).is_empty());
    }
}
