//! Key pairs for the cluster, valid and invalid ones.

use std::path::{Path, PathBuf};

pub use rcgen::ExtendedKeyUsagePurpose as Usage;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// An authority that issues certificates to nodes, valid and invalid ones.
#[derive(Debug)]
pub struct Authority {
    /// The file of its certificate.
    pub cert: PathBuf,
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The chain that servers show after their own certificates: the authority's own and those above, without
    /// the first.
    chain: String,
}

/// Makes `<name>.crt` and `<name>.key` in a folder: EC P-384, valid from yesterday for a year.
pub fn valid(folder: &Path, name: &str) -> Pair {
    make(folder, name, -Duration::DAY, Duration::days(365))
}

/// Makes a pair like [`valid`], for a server with these names.
///
/// # Panics
///
/// When the files cannot be written.
pub fn server(folder: &Path, name: &str, names: &[&str]) -> Pair {
    let key = new_key();
    let mut params = params(name, -Duration::DAY, Duration::days(365));
    let names = names.iter().map(|name| SanType::DnsName((*name).try_into().expect("a name is ASCII")));
    params.subject_alt_names = names.collect();
    let certificate = params.self_signed(&key).expect("a key signs its own certificate");
    write_pair(folder, name, &certificate.pem(), &key)
}

/// Makes a pair like [`server`] that is its own authority, as `openssl req -x509` does.
///
/// # Panics
///
/// When the files cannot be written.
pub fn own_authority(folder: &Path, name: &str, names: &[&str], to: Duration) -> Pair {
    let key = new_key();
    let mut params = params(name, -Duration::days(30), to);
    let names = names.iter().map(|name| SanType::DnsName((*name).try_into().expect("a name is ASCII")));
    params.subject_alt_names = names.collect();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a key signs its own certificate");
    write_pair(folder, name, &certificate.pem(), &key)
}

/// Makes a pair like [`valid`] that expired an hour ago.
pub fn expired(folder: &Path, name: &str) -> Pair {
    make(folder, name, -Duration::days(30), -Duration::HOUR)
}

/// Makes a pair like [`valid`] that is valid only from tomorrow on.
pub fn not_yet_valid(folder: &Path, name: &str) -> Pair {
    make(folder, name, Duration::DAY, Duration::days(365))
}

/// Makes a pair like [`valid`], with a validity counted from now.
///
/// # Panics
///
/// When the files cannot be written.
pub fn make(folder: &Path, name: &str, from: Duration, to: Duration) -> Pair {
    let key = new_key();
    let certificate = params(name, from, to).self_signed(&key).expect("a key signs its own certificate");
    write_pair(folder, name, &certificate.pem(), &key)
}

impl Authority {
    /// Makes an authority. Its certificate is `<name>.crt` in a folder, where the certificates that it issues
    /// will be.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    pub fn new(folder: &Path, name: &str) -> Self {
        let issuer = CertifiedIssuer::self_signed(authority_params(name), new_key());
        Self::of(folder, name, issuer.expect("a key signs its own certificate"), String::new())
    }

    /// Makes an authority that this one signs.
    ///
    /// # Panics
    ///
    /// Those of [`Authority::new`].
    pub fn below(&self, name: &str) -> Self {
        let issuer = CertifiedIssuer::signed_by(authority_params(name), new_key(), &self.issuer);
        let issuer = issuer.expect("an authority signs");
        let chain = issuer.pem() + &self.chain;
        Self::of(&self.folder, name, issuer, chain)
    }

    fn of(folder: &Path, name: &str, issuer: CertifiedIssuer<'static, KeyPair>, chain: String) -> Self {
        let cert = folder.join(format!("{name}.crt"));
        write(&cert, &issuer.pem());
        Self { cert, folder: folder.to_owned(), issuer, chain }
    }

    /// Issues a certificate for these names (URIs) and usages, valid from yesterday for a year.
    ///
    /// # Panics
    ///
    /// Those of [`Authority::new`].
    pub fn issue(&self, name: &str, uris: &[&str], usages: &[Usage]) -> Pair {
        self.issue_until(name, uris, usages, Duration::days(365))
    }

    /// Issues a certificate to a server with these names, valid from yesterday for a year.
    ///
    /// # Panics
    ///
    /// Those of [`Authority::new`].
    pub fn issue_server(&self, name: &str, names: &[&str]) -> Pair {
        let mut params = params(name, -Duration::DAY, Duration::days(365));
        let names = names.iter().map(|name| SanType::DnsName((*name).try_into().expect("a name is ASCII")));
        params.subject_alt_names = names.collect();
        params.extended_key_usages = vec![Usage::ServerAuth];
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        write_pair(&self.folder, name, &(certificate.pem() + &self.chain), &key)
    }

    /// Issues a certificate like [`Authority::issue`], valid from yesterday until some time from now.
    ///
    /// # Panics
    ///
    /// Those of [`Authority::new`].
    pub fn issue_until(&self, name: &str, uris: &[&str], usages: &[Usage], to: Duration) -> Pair {
        let mut params = params(name, -Duration::DAY, to);
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().expect("a URI is ASCII")));
        params.subject_alt_names = uris.collect();
        params.extended_key_usages = usages.to_vec();
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        write_pair(&self.folder, name, &certificate.pem(), &key)
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name, -Duration::DAY, Duration::days(3650));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn params(name: &str, from: Duration, to: Duration) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now + from;
    params.not_after = now + to;
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a P-384 key can be made")
}

fn write_pair(folder: &Path, name: &str, certificate: &str, key: &KeyPair) -> Pair {
    let pair = Pair { cert: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    write(&pair.cert, certificate);
    write(&pair.key, &key.serialize_pem());
    pair
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
