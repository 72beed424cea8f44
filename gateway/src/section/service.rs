//! A service as the data plane uses it: parsed once, not by each request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use model::kind;
use uuid::Uuid;
use wire::Kind;

use super::{Parts, References, Refusal, Section};
use crate::upstream::{Host, Protocol, Terms, Timeouts, UpstreamTls};

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
    /// Path in front of the request's path, if the service has one.
    pub path: Option<Box<str>>,
    /// Attempts after the first has failed.
    pub retries: u16,
    /// Time to establish a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time between two writes.
    pub write_timeout: Duration,
    /// Time between two reads.
    pub read_timeout: Duration,
    /// Whether the upstream's certificate is verified; it is not if nothing is said.
    pub tls_verify: Option<bool>,
    /// The most certificates between an authority's and the upstream's.
    pub tls_verify_depth: Option<u8>,
    /// What its connections must share with others to be exchangeable.
    pub terms: Arc<Terms>,
    /// The certificates of its connections, if they use TLS: for connections to targets, by their names.
    pub trust: Option<Arc<UpstreamTls>>,
    references: References,
}

/// What the TLS terms of services with the same values share.
#[derive(PartialEq, Eq, Hash)]
struct Trusted {
    shown: Option<Uuid>,
    authorities: Vec<Uuid>,
    depth: Option<u8>,
    verify: bool,
}

impl Section for Service {
    type Entity = model::Service;

    /// Its TLS terms have the certificates.
    const HOLDS: &'static [Kind] = &[kind::CERTIFICATE, kind::CA_CERTIFICATE];

    /// A service with a protocol other than HTTP is treated as disabled.
    fn compile(service: &model::Service, references: References) -> Result<Self, Refusal> {
        let (tls, http2) = (service.protocol.is_tls(), service.protocol.is_grpc());
        let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
        let authority = authority(&service.host, service.port, tls).ok_or_else(|| {
            let key = model::Service::key(service.id);
            Refusal::new(key, Some("host"), "cannot stand in a Host header")
        })?;
        Ok(Self {
            id: service.id,
            name: service.name.as_deref().map(Into::into),
            enabled: service.is_served(),
            tls,
            http2,
            host: Host::new(&service.host),
            port: service.port,
            authority,
            path: service.path.as_deref().map(Into::into),
            retries: service.retries,
            connect_timeout: Duration::from_millis(service.connect_timeout.into()),
            write_timeout: Duration::from_millis(service.write_timeout.into()),
            read_timeout: Duration::from_millis(service.read_timeout.into()),
            tls_verify: service.tls_verify,
            tls_verify_depth: service.tls_verify_depth,
            // Those with TLS need the certificates.
            terms: Terms::plain(protocol),
            trust: None,
            references,
        })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&self.references)
    }

    /// Sets the TLS terms. Services that name the same certificates share them.
    fn link(batch: &mut [&mut Arc<Self>], parts: &Parts<'_>) -> Result<(), Refusal> {
        let mut made = HashMap::new();
        for service in batch.iter_mut().filter(|service| service.tls).map(|service| Arc::make_mut(service)) {
            let trusted = service.trusted();
            let trust = match made.get(&trusted) {
                Some(trust) => Arc::clone(trust),
                None => {
                    let trust = trusted.terms(parts);
                    made.entry(trusted).or_insert(trust).clone()
                }
            };
            let terms = Terms::tls(service.terms.protocol(), &service.host, &trust);
            service.trust = Some(trust);
            service.terms =
                Arc::new(terms.map_err(|error| Refusal::new(service.key(), Some("host"), error))?);
        }
        Ok(())
    }
}

impl Service {
    /// The timeouts of an exchange.
    pub fn deadlines(&self) -> Timeouts {
        Timeouts { connect: self.connect_timeout, read: self.read_timeout, write: self.write_timeout }
    }

    /// The protocol, in the words of the configuration.
    pub(crate) fn protocol(&self) -> &'static str {
        match (self.http2, self.tls) {
            (false, false) => "http",
            (false, true) => "https",
            (true, false) => "grpc",
            (true, true) => "grpcs",
        }
    }

    /// The certificate that the upstream is shown.
    pub(crate) fn client_certificate(&self) -> Option<Uuid> {
        self.references.to(kind::CERTIFICATE).next()
    }

    /// The CA certificates that the upstream's certificate is verified against.
    pub(crate) fn ca_certificates(&self) -> impl Iterator<Item = Uuid> {
        self.references.to(kind::CA_CERTIFICATE)
    }

    fn trusted(&self) -> Trusted {
        Trusted {
            shown: self.client_certificate(),
            authorities: self.ca_certificates().collect(),
            depth: self.tls_verify_depth,
            verify: self.tls_verify.unwrap_or(false),
        }
    }
}

impl Trusted {
    fn terms(&self, parts: &Parts<'_>) -> Arc<UpstreamTls> {
        let shown = self.shown.and_then(|id| parts.certificates.get(&id));
        if !self.verify {
            let unverified = |keys| Arc::new(UpstreamTls::unverified(keys));
            return shown.map_or_else(|| UpstreamTls::common(false), unverified);
        }
        let authorities: Vec<_> =
            self.authorities.iter().filter_map(|id| parts.authorities.get(id)).map(|arc| &**arc).collect();
        if shown.is_none() && authorities.is_empty() && self.depth.is_none() {
            return UpstreamTls::common(true);
        }
        Arc::new(UpstreamTls::new(shown, &authorities, self.depth))
    }
}

/// The value of the `Host` header; `None` when it cannot be one.
fn authority(host: &str, port: u16, tls: bool) -> Option<HeaderValue> {
    let bare = Host::without_brackets(host);
    let host = if bare.contains(':') { format!("[{bare}]") } else { host.to_owned() };
    let own_port = if tls { 443 } else { 80 };
    let value = if port == own_port { host } else { format!("{host}:{port}") };
    HeaderValue::try_from(value).ok()
}
