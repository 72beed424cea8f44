//! TLS with an upstream: which certificates are trusted, and which one is shown. Built once, when the
//! configuration is applied.

use std::fmt;
use std::sync::{Arc, LazyLock};

use pingora::tls::load_platform_certs_incl_env_into_store;
use pingora::upstreams::peer::HttpPeer;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tracing::error;
use wire::{CaCertificate, Key};

use super::verifier::UpstreamVerifier;
use crate::certified_keys::CertifiedKeys;

/// The TLS terms of a service's connections, except for the name that is verified.
pub struct UpstreamTls {
    config: Arc<ClientConfig>,
    group: u64,
}

/// Why TLS with these certificates is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Unusable {
    /// The certificate with the problem.
    pub key: Key,
    /// The field with the problem.
    pub field: &'static str,
    /// The problem.
    pub message: String,
}

/// The authorities of the system, read when they are first needed.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    if let Err(error) = load_platform_certs_incl_env_into_store(&mut roots) {
        error!("cannot read the system's certificate authorities: {error}");
    }
    Arc::new(roots)
});

impl UpstreamTls {
    /// Shows `identity`, and trusts `authorities` alone (the system's, if there are none). At most `depth`
    /// certificates may stand between theirs and the upstream's.
    ///
    /// # Errors
    /// The first authority that cannot be used.
    pub fn new(
        identity: Option<&Arc<CertifiedKeys>>,
        authorities: &[&CaCertificate],
        depth: Option<u8>,
    ) -> Result<Self, Unusable> {
        let mut hash = blake3::Hasher::new();
        identity.into_iter().flat_map(|keys| keys.certificates()).for_each(|shown| part(&mut hash, shown));
        hash.update(b"authorities");
        let (mut roots, mut named) = (RootCertStore::empty(), Vec::new());
        for authority in authorities {
            for root in parse_roots(authority)? {
                part(&mut hash, &root);
                roots.add(root.clone()).map_err(|error| unusable(authority, error))?;
                named.push(root);
            }
        }
        hash.update(b"depth").update(&depth.map_or([0, 0], |depth| [1, depth]));
        let roots = if roots.is_empty() { SYSTEM.clone() } else { Arc::new(roots) };
        let digest = hash.finalize();
        let group = digest.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Ok(Self { config: Arc::new(config(identity, roots, named, depth)), group })
    }

    /// The group of connections that may be shared: equal for the same certificates and depth, and for no
    /// others.
    pub fn group(&self) -> u64 {
        self.group
    }

    /// Sets these terms on `peer`. Pingora ignores a TLS configuration when it compares connections; the
    /// group tells them apart.
    pub(super) fn set(&self, peer: &mut HttpPeer) {
        peer.options.tls_config = Some(self.config.clone());
        peer.group_key = self.group;
    }
}

/// Creates a configuration with TLS sessions of its own: rustls keeps sessions within a configuration, with
/// the verifier that checked them.
fn config(
    identity: Option<&Arc<CertifiedKeys>>,
    roots: Arc<RootCertStore>,
    named: Vec<CertificateDer<'static>>,
    depth: Option<u8>,
) -> ClientConfig {
    let builder = ClientConfig::builder();
    let builder = if depth.is_none() && named.is_empty() {
        builder.with_root_certificates(roots)
    } else {
        let verifier = UpstreamVerifier::new(roots, named, builder.crypto_provider(), depth);
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    match identity {
        Some(keys) => builder.with_client_cert_resolver(keys.clone()),
        None => builder.with_no_client_auth(),
    }
}

impl ResolvesClientCert for CertifiedKeys {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn parse_roots(authority: &CaCertificate) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let roots = CertificateDer::pem_slice_iter(authority.cert.as_bytes()).collect::<Result<Vec<_>, _>>();
    let roots = roots.map_err(|error| unusable(authority, error))?;
    if roots.is_empty() { Err(unusable(authority, "none in PEM")) } else { Ok(roots) }
}

fn unusable(authority: &CaCertificate, why: impl fmt::Display) -> Unusable {
    let message = format!("invalid certificate: {why}");
    Unusable { key: Key::ca_certificate(authority.id), field: "cert", message }
}

/// Hashes a part with its length, so that the end of one part is not the beginning of the next.
fn part(hash: &mut blake3::Hasher, bytes: &[u8]) {
    hash.update(&bytes.len().to_le_bytes()).update(bytes);
}

/// Without the configuration, which has the key.
impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls").field("group", &self.group).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::certs;
    use wire::Certificate;

    fn read(path: &std::path::Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn keys(pair: &certs::Pair) -> Arc<CertifiedKeys> {
        let (cert, key) = (read(&pair.cert), read(&pair.key));
        Arc::new(
            CertifiedKeys::parse(&Certificate { cert, key: key.into(), ..Certificate::default() }).unwrap(),
        )
    }

    fn authority(pair: &certs::Pair) -> CaCertificate {
        CaCertificate { cert: read(&pair.cert), ..CaCertificate::default() }
    }

    #[test]
    fn other_terms_are_another_group_and_the_same_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let [pair_a, pair_b] = ["a", "b"].map(|name| certs::valid(folder.path(), name));
        let [a, b] = [&pair_a, &pair_b].map(keys);
        let [ca_a, ca_b] = [&pair_a, &pair_b].map(authority);
        let group = |identity, authorities: &[&CaCertificate], depth| {
            UpstreamTls::new(identity, authorities, depth).unwrap().group()
        };
        let all = [
            group(None, &[], None),
            group(None, &[], Some(0)),
            group(None, &[], Some(1)),
            group(Some(&a), &[], None),
            group(Some(&b), &[], None),
            group(None, &[&ca_a], None),
            group(None, &[&ca_a], Some(1)),
            group(None, &[&ca_b], None),
            group(None, &[&ca_a, &ca_b], None),
            group(Some(&a), &[&ca_a], None),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        assert_eq!(group(Some(&a), &[&ca_a], None), all[9]);
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for garbage in ["", "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"] {
            let bad = CaCertificate { cert: garbage.into(), ..CaCertificate::default() };
            let unusable = UpstreamTls::new(None, &[&bad], None).unwrap_err();
            assert_eq!((unusable.key, unusable.field), (Key::ca_certificate(bad.id), "cert"));
        }
    }
}
