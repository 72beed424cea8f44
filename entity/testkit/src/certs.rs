//! Key pairs for the cluster, good and bad ones.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use time::{Duration, OffsetDateTime};

/// A self-signed certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The key's file.
    pub key: PathBuf,
}

/// Makes `<name>.crt` and `<name>.key` in a folder: EC P-384, valid from yesterday for a year.
pub fn valid(folder: &Path, name: &str) -> Pair {
    make(folder, name, -Duration::DAY, Duration::days(365))
}

/// As [`valid`], but expired an hour ago.
pub fn expired(folder: &Path, name: &str) -> Pair {
    make(folder, name, -Duration::days(30), -Duration::HOUR)
}

/// As [`valid`], but valid only from tomorrow on.
pub fn not_yet_valid(folder: &Path, name: &str) -> Pair {
    make(folder, name, Duration::DAY, Duration::days(365))
}

/// As [`valid`], with a validity counted from now.
///
/// # Panics
///
/// When the files cannot be written.
pub fn make(folder: &Path, name: &str, from: Duration, to: Duration) -> Pair {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now + from;
    params.not_after = now + to;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a P-384 key can be made");
    let certificate = params.self_signed(&key).expect("a key signs its own certificate");
    let pair = Pair { cert: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    write(&pair.cert, &certificate.pem());
    write(&pair.key, &key.serialize_pem());
    pair
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
