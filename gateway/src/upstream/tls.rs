//! TLS with an upstream: which certificates are trusted, and which one is shown. Built once, when the
//! configuration is applied.

use std::fmt;
use std::sync::{Arc, LazyLock};

use pingora::tls::load_platform_certs_incl_env_into_store;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tracing::error;

use super::authority::Authority;
use super::protocol::Protocol;
use super::unverified::Unverified;
use super::verifier::UpstreamVerifier;
use crate::certified_keys::CertifiedKeys;

/// The TLS terms of a service's connections, except for the name that is verified.
pub struct UpstreamTls {
    http1: TlsConnector,
    http2: TlsConnector,
    digest: blake3::Hash,
    trust: Arc<Trust>,
    /// Whether a certificate is shown.
    shows: bool,
}

/// The authorities of the system, read when they are first needed.
static SYSTEM: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    if let Err(error) = load_platform_certs_incl_env_into_store(&mut roots) {
        error!("cannot read the system's certificate authorities: {error}");
    }
    Arc::new(roots)
});

/// The terms of services that name no certificate.
static BY_SYSTEM: LazyLock<Arc<UpstreamTls>> = LazyLock::new(|| {
    Arc::new(UpstreamTls::build(None, Trust::System { depth: None }.into(), SESSIONS_OF_ALL))
});

/// The same without verification.
static BY_NONE: LazyLock<Arc<UpstreamTls>> =
    LazyLock::new(|| Arc::new(UpstreamTls::build(None, Trust::Any.into(), SESSIONS_OF_ALL)));

/// The terms of streams of bytes.
static BYTES_BY_SYSTEM: LazyLock<TlsConnector> =
    LazyLock::new(|| TlsConnector::from(Arc::new(config(None, &Trust::System { depth: None }))));

/// The same without verification.
static BYTES_BY_NONE: LazyLock<TlsConnector> =
    LazyLock::new(|| TlsConnector::from(Arc::new(config(None, &Trust::Any))));

/// The TLS sessions that are kept under terms that many services share. rustls keeps up to 8 of a name.
const SESSIONS_OF_ALL: usize = 4096;
/// The TLS sessions that are kept under the terms of few services.
const SESSIONS: usize = 256;

/// The certificates that an upstream may show.
enum Trust {
    /// Any. The signature of the handshake is verified all the same.
    Any,
    /// Those that the system's authorities verify.
    System { depth: Option<u8> },
    /// Those that these authorities verify, or that are one of them.
    Named { authorities: Vec<CertificateDer<'static>>, roots: RootCertStore, depth: Option<u8> },
}

impl UpstreamTls {
    /// Shows `identity`, and trusts `authorities` alone (the system's, if there are none). At most `depth`
    /// certificates may stand between theirs and the upstream's.
    pub fn new(identity: Option<&Arc<CertifiedKeys>>, authorities: &[&Authority], depth: Option<u8>) -> Self {
        Self::build(identity, Trust::new(authorities, depth).into(), SESSIONS)
    }

    /// Shows `identity`, and accepts any certificate.
    pub fn unverified(identity: &Arc<CertifiedKeys>) -> Self {
        Self::build(Some(identity), Trust::Any.into(), SESSIONS)
    }

    /// The terms of services that name no certificate: the system's authorities verify the upstream's, or
    /// none does.
    pub fn common(verify: bool) -> Arc<Self> {
        if verify { BY_SYSTEM.clone() } else { BY_NONE.clone() }
    }

    /// Makes handshakes for a stream of bytes of no protocol of its own. The system's authorities verify the
    /// certificate, or none does.
    pub fn of_bytes(verify: bool) -> TlsConnector {
        if verify { BYTES_BY_SYSTEM.clone() } else { BYTES_BY_NONE.clone() }
    }

    /// The same terms, but `identity` is shown.
    pub(super) fn showing(&self, identity: &Arc<CertifiedKeys>) -> Self {
        Self::build(Some(identity), Arc::clone(&self.trust), SESSIONS)
    }

    /// Whether a certificate is shown.
    pub(super) fn shows_certificate(&self) -> bool {
        self.shows
    }

    fn build(identity: Option<&Arc<CertifiedKeys>>, trust: Arc<Trust>, sessions: usize) -> Self {
        let mut http1 = config(identity, &trust);
        // Sessions are kept with the verifier that checked them.
        http1.resumption = Resumption::in_memory_sessions(sessions);
        let mut http2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http2.alpn_protocols = vec![b"h2".to_vec()];
        let [http1, http2] = [http1, http2].map(|config| TlsConnector::from(Arc::new(config)));
        Self { http1, http2, digest: digest(identity, &trust), trust, shows: identity.is_some() }
    }

    /// Identifies the certificates and the depth: equal for the same ones, and for no others.
    pub(super) fn digest(&self) -> &blake3::Hash {
        &self.digest
    }

    /// Makes handshakes for `protocol`.
    pub(super) fn connector(&self, protocol: Protocol) -> &TlsConnector {
        match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        }
    }
}

impl Trust {
    fn new(authorities: &[&Authority], depth: Option<u8>) -> Self {
        if authorities.is_empty() {
            return Self::System { depth };
        }
        let (mut roots, mut named) = (RootCertStore::empty(), Vec::new());
        for authority in authorities {
            roots.extend(authority.anchors().iter().cloned());
            named.extend_from_slice(authority.certificates());
        }
        Self::Named { authorities: named, roots, depth }
    }

    fn verifier(&self, provider: &CryptoProvider) -> Option<Arc<dyn ServerCertVerifier>> {
        Some(match self {
            Self::Any => Arc::new(Unverified::new(provider)),
            Self::System { depth: None } => return None,
            Self::System { depth } => {
                Arc::new(UpstreamVerifier::new(SYSTEM.clone(), Vec::new(), provider, *depth))
            }
            Self::Named { authorities, roots, depth } => {
                let roots = Arc::new(roots.clone());
                Arc::new(UpstreamVerifier::new(roots, authorities.clone(), provider, *depth))
            }
        })
    }
}

fn config(identity: Option<&Arc<CertifiedKeys>>, trust: &Trust) -> ClientConfig {
    let builder = ClientConfig::builder();
    let builder = match trust.verifier(builder.crypto_provider()) {
        Some(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
        None => builder.with_root_certificates(SYSTEM.clone()),
    };
    match identity {
        Some(keys) => builder.with_client_cert_resolver(keys.clone()),
        None => builder.with_no_client_auth(),
    }
}

fn digest(identity: Option<&Arc<CertifiedKeys>>, trust: &Trust) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    identity.into_iter().flat_map(|keys| keys.certificates()).for_each(|shown| part(&mut hash, shown));
    let (kind, depth) = match trust {
        Trust::Any => (b"any", None),
        Trust::System { depth } => (b"sys", *depth),
        Trust::Named { depth, .. } => (b"own", *depth),
    };
    // No certificate has this length.
    part(&mut hash, kind);
    hash.update(&depth.map_or([0, 0], |depth| [1, depth]));
    if let Trust::Named { authorities, .. } = trust {
        authorities.iter().for_each(|root| part(&mut hash, root));
    }
    hash.finalize()
}

impl ResolvesClientCert for CertifiedKeys {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Hashes a part with its length, so that the end of one part is not the beginning of the next.
fn part(hash: &mut blake3::Hasher, bytes: &[u8]) {
    hash.update(&bytes.len().to_le_bytes()).update(bytes);
}

/// Without the configuration, which has the key.
impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls").field("digest", &self.digest).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CaCertificate, Certificate};
    use testkit::certs;

    fn read(path: &std::path::Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn keys(pair: &certs::Pair) -> Arc<CertifiedKeys> {
        let (cert, key) = (read(&pair.cert), read(&pair.key));
        Arc::new(
            CertifiedKeys::parse(&Certificate { cert, key: key.into(), ..Certificate::default() }).unwrap(),
        )
    }

    fn authority(pair: &certs::Pair) -> Authority {
        Authority::parse(&CaCertificate { cert: read(&pair.cert), ..CaCertificate::default() }).unwrap()
    }

    #[test]
    fn other_terms_have_another_digest_and_the_same_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let [pair_a, pair_b] = ["a", "b"].map(|name| certs::valid(folder.path(), name));
        let [a, b] = [&pair_a, &pair_b].map(keys);
        let [ca_a, ca_b] = [&pair_a, &pair_b].map(authority);
        let digest = |identity, authorities: &[&Authority], depth| {
            UpstreamTls::new(identity, authorities, depth).digest
        };
        let all = [
            digest(None, &[], None),
            digest(None, &[], Some(0)),
            digest(None, &[], Some(1)),
            digest(Some(&a), &[], None),
            digest(Some(&b), &[], None),
            digest(None, &[&ca_a], None),
            digest(None, &[&ca_a], Some(1)),
            digest(None, &[&ca_b], None),
            digest(None, &[&ca_a, &ca_b], None),
            digest(Some(&a), &[&ca_a], None),
            UpstreamTls::common(false).digest,
            UpstreamTls::unverified(&a).digest,
            UpstreamTls::unverified(&b).digest,
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        assert_eq!(digest(Some(&a), &[&ca_a], None), all[9]);
        assert_eq!(UpstreamTls::common(true).digest, all[0]);
    }
}
