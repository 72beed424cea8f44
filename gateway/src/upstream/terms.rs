//! The terms of connections to an upstream: what two connections must share to be exchangeable.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::host::Host;
use super::protocol::Protocol;
use super::tls::UpstreamTls;

/// What two connections must share to be exchangeable, except for the address. Made when a service is built,
/// so that a connection costs no parsing.
pub struct Terms {
    id: TermsId,
    protocol: Protocol,
    tls: Option<TlsTerms>,
}

/// Identifies terms by their content: terms made again from the same configuration find the connections of
/// the earlier ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TermsId([u8; blake3::OUT_LEN]);

/// Connections with equal keys are exchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) terms: TermsId,
    pub(super) address: SocketAddr,
}

/// TLS with a name.
pub(super) struct TlsTerms {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// A name of an upstream that no certificate can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be verified by TLS: no certificate can have this name")]
pub struct InvalidName;

static PLAIN: LazyLock<[Arc<Terms>; 2]> =
    LazyLock::new(|| [Protocol::Http1, Protocol::Http2].map(|protocol| Arc::new(Terms::new(protocol, None))));

impl Terms {
    /// Connections without TLS.
    pub fn plain(protocol: Protocol) -> Arc<Self> {
        let [http1, http2] = &*PLAIN;
        match protocol {
            Protocol::Http1 => Arc::clone(http1),
            Protocol::Http2 => Arc::clone(http2),
        }
    }

    /// Connections with TLS to `host`. The name is sent to the upstream and verified. An address is verified,
    /// too, but not sent (RFC 6066, section 3).
    ///
    /// # Errors
    /// When the name is none that a certificate can have.
    pub fn tls(protocol: Protocol, host: &Host, trust: &UpstreamTls) -> Result<Self, InvalidName> {
        let name = match host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.to_string()).map_err(|_| InvalidName)?,
        };
        Ok(Self::new(protocol, Some((trust, name))))
    }

    fn new(protocol: Protocol, tls: Option<(&UpstreamTls, ServerName<'static>)>) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(&[protocol as u8, u8::from(tls.is_some())]);
        if let Some((trust, name)) = &tls {
            hash.update(trust.digest().as_bytes()).update(name.to_str().as_bytes());
        }
        let tls = tls.map(|(trust, name)| TlsTerms { connector: trust.connector(protocol).clone(), name });
        Self { id: TermsId(*hash.finalize().as_bytes()), protocol, tls }
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether connections use TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn id(&self) -> TermsId {
        self.id
    }

    pub(super) fn handshake(&self) -> Option<&TlsTerms> {
        self.tls.as_ref()
    }
}

impl TlsTerms {
    pub(super) fn connector(&self) -> &TlsConnector {
        &self.connector
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

/// Terms of equal content are the same.
impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Terms {}

impl Hash for Terms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// Without the configuration, which has the key of the client's certificate.
impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.tls.as_ref().map(|tls| &tls.name);
        f.debug_struct("Terms").field("protocol", &self.protocol).field("name", &name).finish_non_exhaustive()
    }
}

/// A part of a digest is as random as all of it.
impl Hash for TermsId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let first = self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        state.write_u64(first);
    }
}

/// The first bytes are enough to tell terms apart.
impl fmt::Debug for TermsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Host {
        Host::Name(name.into())
    }

    #[test]
    fn equal_content_is_one_identity_and_any_difference_is_another() {
        node::install_tls_provider();
        let [verified, unverified] = [true, false].map(UpstreamTls::common);
        let deep = UpstreamTls::new(None, &[], Some(3));
        let tls =
            |protocol, host: &Host, trust: &UpstreamTls| Terms::tls(protocol, host, trust).unwrap().id();
        let (h1, h2) = (Protocol::Http1, Protocol::Http2);
        let address = Host::Address("127.0.0.1".parse().unwrap());
        let all = [
            Terms::plain(h1).id(),
            Terms::plain(h2).id(),
            tls(h1, &named("a.test"), &verified),
            tls(h2, &named("a.test"), &verified),
            tls(h1, &named("b.test"), &verified),
            tls(h1, &named("a.test"), &unverified),
            tls(h1, &named("a.test"), &deep),
            tls(h1, &address, &verified),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        let same = UpstreamTls::new(None, &[], None);
        assert_eq!(tls(h1, &named("a.test"), &same), all[2]);
    }

    #[test]
    fn name_that_no_certificate_can_have_is_refused() {
        node::install_tls_provider();
        let trust = UpstreamTls::common(false);
        for bad in ["", "a..b", "-a", "a b", "a.0x1"] {
            assert_eq!(Terms::tls(Protocol::Http1, &named(bad), &trust).unwrap_err(), InvalidName, "{bad}");
        }
        for good in ["a", "a_b.test", "a.test."] {
            assert!(Terms::tls(Protocol::Http1, &named(good), &trust).is_ok(), "{good}");
        }
    }
}
