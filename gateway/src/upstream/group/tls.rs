//! The TLS terms of connections to targets: made for the first connection to a name, then kept with the group.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use super::{GroupTerms, ServiceTerms};
use crate::upstream::{Host, InvalidName, Protocol, Terms, UpstreamTls};

/// The most terms that are kept. Beyond, all are made again.
const MOST: usize = 4096;

type Known = HashMap<Key, Arc<Terms>, RandomState>;

/// Terms that were made. A request takes no lock.
#[derive(Debug, Default)]
pub(super) struct TlsCache(ArcSwap<Known>);

/// What the terms follow from, for one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    trust: [u8; blake3::OUT_LEN],
    http2: bool,
    name: Box<str>,
}

impl TlsCache {
    /// The terms of a service's connections to the target `name`. The host that the upstream sets stands for the
    /// name; the certificate of the service goes before that of the upstream.
    pub(super) fn terms(
        &self,
        group: &GroupTerms,
        service: &ServiceTerms<'_>,
        name: &str,
    ) -> Result<Arc<Terms>, InvalidName> {
        let Some(trust) = service.trust else { return Ok(Arc::clone(service.terms)) };
        let name = group.host_header.as_deref().map_or(name, without_port);
        let protocol = service.terms.protocol();
        let key =
            Key { trust: *trust.digest().as_bytes(), http2: protocol == Protocol::Http2, name: name.into() };
        if let Some(known) = self.0.load().get(&key) {
            return Ok(known.clone());
        }
        let made = Arc::new(Terms::tls(protocol, &Host::new(name), &shown(trust, group))?);
        self.0.rcu(|known| {
            let mut known = if known.len() < MOST { Known::clone(known) } else { Known::default() };
            known.insert(key.clone(), made.clone());
            known
        });
        Ok(made)
    }
}

/// The service's own terms, or the same with the upstream's certificate.
fn shown(trust: &Arc<UpstreamTls>, group: &GroupTerms) -> Arc<UpstreamTls> {
    match &group.shown {
        Some(keys) if !trust.shows_certificate() => Arc::new(trust.showing(keys)),
        _ => Arc::clone(trust),
    }
}

/// `host` without a port. An IPv6 address with a port is in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((before, _)) if !before.contains(':') || before.ends_with(']') => before,
        _ => host,
    }
}
