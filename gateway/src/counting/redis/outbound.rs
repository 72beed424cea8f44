//! Opens streams by way of the policy on addresses.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::dial::{Dial, Dialed, Stream};
use super::failure::RedisFailure;
use super::terms::{RedisTerms, RedisTls};
use crate::outbound::{CallFailure, Outbound};
use crate::upstream::{Host, UpstreamTls};

/// Opens streams to addresses that the policy allows.
#[derive(Debug)]
pub struct OutboundDial(Arc<Outbound>);

impl OutboundDial {
    /// Creates one that resolves names as `outbound` does.
    pub fn new(outbound: Arc<Outbound>) -> Self {
        Self(outbound)
    }

    async fn open(&self, terms: &RedisTerms, plugin: Uuid) -> Result<Box<dyn Stream>, RedisFailure> {
        let host = Host::new(&terms.host);
        let addresses =
            self.0.addresses_of(plugin, &host, terms.port).await.map_err(|failure| match failure {
                CallFailure::Denied => RedisFailure::Denied,
                CallFailure::TimedOut => RedisFailure::TimedOut,
                _ => RedisFailure::NameResolution,
            })?;
        let stream = TcpStream::connect(&*addresses).await.map_err(|_| RedisFailure::Connect)?;
        // Without it small writes wait for the acknowledgement of earlier ones. A connection works without it.
        stream.set_nodelay(true).ok();
        match &terms.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => handshake(tls, terms.server_name(), stream).await,
        }
    }
}

impl Dial for OutboundDial {
    fn dial<'a>(&'a self, terms: &'a RedisTerms, plugin: Uuid) -> Dialed<'a> {
        Box::pin(self.open(terms, plugin))
    }
}

async fn handshake(tls: &RedisTls, name: &str, stream: TcpStream) -> Result<Box<dyn Stream>, RedisFailure> {
    let name = Host::without_brackets(name).to_owned();
    let name = ServerName::try_from(name).map_err(|_| RedisFailure::Tls)?;
    let secured = UpstreamTls::of_bytes(tls.verify).connect(name, stream).await;
    Ok(Box::new(secured.map_err(|_| RedisFailure::Tls)?))
}
