//! A service as the data plane uses it: parsed once, not by each request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use uuid::Uuid;

use crate::upstream::{Protocol, Terms, Timeouts};

/// The destination of a route's requests.
#[derive(Clone, Debug)]
pub struct Service {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    pub name: Option<Box<str>>,
    /// Whether its routes match.
    pub enabled: bool,
    /// Whether the upstream uses TLS.
    pub tls: bool,
    /// Whether the upstream uses HTTP/2, and not HTTP/1.1.
    pub http2: bool,
    /// Host of the upstream.
    pub host: Host,
    /// Port of the upstream.
    pub port: u16,
    /// The upstream's `Host` header: without a port where it is the protocol's own.
    pub authority: HeaderValue,
    /// Path in front of the request's path; `/` when the service has none.
    pub path: Box<str>,
    /// Attempts after the first has failed.
    pub retries: u16,
    /// Time to establish a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time between two writes.
    pub write_timeout: Duration,
    /// Time between two reads.
    pub read_timeout: Duration,
    /// Whether the upstream's certificate is verified.
    pub tls_verify: bool,
    /// Certificate shown to the upstream; it is in the table.
    pub client_certificate: Option<Uuid>,
    /// CA certificates that verify the upstream's; they are in the table.
    pub ca_certificates: Box<[Uuid]>,
    /// The most certificates between an authority's and the upstream's.
    pub tls_verify_depth: Option<u8>,
    /// What its connections must share with others to be exchangeable.
    pub terms: Arc<Terms>,
}

/// The host of a service.
#[derive(Clone, Debug)]
pub enum Host {
    /// An address: nothing to resolve.
    Address(IpAddr),
    /// A name, in lower case.
    Name(Box<str>),
}

impl Service {
    /// Converts `service`; `None` when its host cannot stand in a `Host` header. A service with a protocol
    /// other than HTTP is treated as disabled.
    pub(super) fn new(service: &model::Service) -> Option<Self> {
        let (tls, http2) = (service.protocol.is_tls(), service.protocol.is_grpc());
        let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
        Some(Self {
            id: service.id,
            name: service.name.as_deref().map(Into::into),
            enabled: service.is_served(),
            tls,
            http2,
            host: Host::new(&service.host),
            port: service.port,
            authority: authority(&service.host, service.port, tls)?,
            path: service.path.as_deref().unwrap_or("/").into(),
            retries: service.retries,
            connect_timeout: Duration::from_millis(service.connect_timeout.into()),
            write_timeout: Duration::from_millis(service.write_timeout.into()),
            read_timeout: Duration::from_millis(service.read_timeout.into()),
            tls_verify: service.tls_verify.unwrap_or(false),
            tls_verify_depth: service.tls_verify_depth,
            client_certificate: service.client_certificate,
            ca_certificates: service.ca_certificates.as_deref().unwrap_or_default().into(),
            // Those with TLS need the table's certificates.
            terms: Terms::plain(protocol),
        })
    }
}

impl Service {
    /// The timeouts of an exchange.
    pub fn deadlines(&self) -> Timeouts {
        Timeouts { connect: self.connect_timeout, read: self.read_timeout, write: self.write_timeout }
    }
}

impl Host {
    fn new(host: &str) -> Self {
        match bare(host).parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::Name(host.to_ascii_lowercase().into()),
        }
    }
}

fn authority(host: &str, port: u16, tls: bool) -> Option<HeaderValue> {
    let host = if bare(host).contains(':') { format!("[{}]", bare(host)) } else { host.to_owned() };
    let own_port = if tls { 443 } else { 80 };
    let value = if port == own_port { host } else { format!("{host}:{port}") };
    HeaderValue::try_from(value).ok()
}

/// `host` without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}
