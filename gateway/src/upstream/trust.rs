//! TLS with an upstream: whose certificates are believed, and which one is shown. Parsed once, when the
//! configuration comes.

use std::fmt;
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use wire::{CaCertificate, Certificate, Key};

/// What a service's connections go by, other than the name that is verified.
pub struct Trust {
    /// `None`: those of the system.
    authorities: Option<Arc<CaType>>,
    identity: Option<Arc<CertKey>>,
    group: u64,
}

/// Why there is no TLS by these certificates. It repeats nothing of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Unusable {
    /// The one of them that it is about.
    pub key: Key,
    /// The field that it is about.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
}

impl Trust {
    /// Shows `identity`, and believes `authorities` alone; the system's, if there are none.
    ///
    /// # Errors
    /// The first certificate or key that cannot be used.
    pub fn new(identity: Option<&Certificate>, authorities: &[&CaCertificate]) -> Result<Self, Unusable> {
        let mut hash = blake3::Hasher::new();
        let identity = identity.map(|shown| parse_identity(shown, &mut hash)).transpose()?;
        hash.update(b"authorities");
        let mut roots = Vec::new();
        for authority in authorities {
            for root in parse_roots(authority)? {
                part(&mut hash, &root);
                roots.push(WrappedX509::new(root.to_vec(), parse_x509));
            }
        }
        let authorities = (!roots.is_empty()).then(|| roots.into());
        let digest = hash.finalize();
        let group = digest.as_bytes().first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Ok(Self { authorities, identity: identity.map(Arc::new), group })
    }

    /// Whether connections may be shared: the same for the same certificates and keys, and for no others.
    pub fn group(&self) -> u64 {
        self.group
    }

    /// Makes `peer` go by this. Pingora tells connections apart by the serial number of the certificate shown,
    /// and not at all by the authorities believed; the group tells all of it.
    pub(super) fn set(&self, peer: &mut HttpPeer) {
        peer.options.ca.clone_from(&self.authorities);
        peer.client_cert_key.clone_from(&self.identity);
        peer.group_key = self.group;
    }
}

fn parse_identity(shown: &Certificate, hash: &mut blake3::Hasher) -> Result<CertKey, Unusable> {
    let unusable = |field, message| Unusable { key: Key::certificate(shown.id), field, message };
    let chain = parse_chain(&shown.cert).map_err(|message| unusable("cert", message))?;
    let invalid = || unusable("key", "invalid key: no private key that TLS knows in PEM".to_owned());
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).map_err(|_| invalid())?;
    let bytes = key.secret_der().to_vec();
    // What Pingora makes of the bytes for each connection, and takes for granted.
    PrivateKeyDer::try_from(bytes.clone()).map_err(|_| invalid())?;
    CertifiedKey::from_der(chain.clone(), key, &ring::default_provider())
        .map_err(|error| unusable("cert", format!("cannot be used with its key: {error}")))?;
    chain.iter().for_each(|certificate| part(hash, certificate));
    part(hash, &bytes);
    Ok(CertKey::new(chain.iter().map(|certificate| certificate.to_vec()).collect(), bytes))
}

fn parse_roots(authority: &CaCertificate) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let unusable = |message| Unusable { key: Key::ca_certificate(authority.id), field: "cert", message };
    let chain = parse_chain(&authority.cert).map_err(unusable)?;
    for root in &chain {
        let added = RootCertStore::empty().add(root.clone());
        added.map_err(|error| unusable(format!("invalid certificate: {error}")))?;
    }
    Ok(chain)
}

fn parse_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("invalid certificate: {error}"))?;
    for certificate in &chain {
        // By the parser that Pingora trusts to succeed.
        x509_parser::parse_x509_certificate(certificate)
            .map_err(|error| format!("invalid certificate: not X.509: {error}"))?;
    }
    if chain.is_empty() { Err("invalid certificate: none in PEM".to_owned()) } else { Ok(chain) }
}

/// With its length, so that the end of one part is not the beginning of the next.
fn part(hash: &mut blake3::Hasher, bytes: &[u8]) {
    hash.update(&bytes.len().to_le_bytes()).update(bytes);
}

/// Without the certificates, and of course without the key.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("group", &self.group).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::certs;

    fn read(path: &std::path::Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    fn certificate(pair: &certs::Pair) -> Certificate {
        Certificate { cert: read(&pair.cert), key: read(&pair.key), ..Certificate::default() }
    }

    #[test]
    fn other_certificates_are_another_group_and_the_same_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| certificate(&certs::valid(folder.path(), name)));
        let ca = |of: &Certificate| CaCertificate { cert: of.cert.clone(), ..CaCertificate::default() };
        let (ca_a, ca_b) = (ca(&a), ca(&b));
        let group =
            |identity, authorities: &[&CaCertificate]| Trust::new(identity, authorities).unwrap().group();
        let all = [
            group(None, &[]),
            group(Some(&a), &[]),
            group(Some(&b), &[]),
            group(None, &[&ca_a]),
            group(None, &[&ca_b]),
            group(None, &[&ca_a, &ca_b]),
            group(Some(&a), &[&ca_a]),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        assert_eq!(group(Some(&a), &[&ca_a]), all[6]);
    }

    #[test]
    fn what_is_no_certificate_and_what_is_not_its_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| certificate(&certs::valid(folder.path(), name)));
        let garbage = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nMQ==\n-----END PRIVATE KEY-----\n";
        for (cert, key, field) in [
            (garbage, &*a.key, "cert"),
            ("", &a.key, "cert"),
            (&a.cert, no_key, "key"),
            (&a.cert, &b.key, "cert"),
        ] {
            let bad = Certificate { cert: cert.into(), key: key.into(), ..Certificate::default() };
            assert_eq!(Trust::new(Some(&bad), &[]).unwrap_err().field, field, "{cert}");
        }
        let bad = CaCertificate { cert: garbage.into(), ..CaCertificate::default() };
        assert_eq!(Trust::new(None, &[&bad]).unwrap_err().key, Key::ca_certificate(bad.id));
    }
}
