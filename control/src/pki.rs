//! Certificates for the cluster.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// A pair could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file is in the way.
    #[error("{0} is there already; give another path, or --force to replace it")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key or the certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

/// Makes the pair that all nodes of a cluster hold in the `shared` mode: EC P-384, self-signed, good for
/// both ends of a connection. Both files are written, or none is touched.
///
/// # Errors
/// When a file is in the way and `force` is not given, or something cannot be written.
pub fn gen_cert(cert: &Path, key: &Path, days: u32, force: bool) -> Result<(), PkiError> {
    if let Some(path) = [cert, key].into_iter().find(|path| !force && path.exists()) {
        return Err(PkiError::Exists(path.to_owned()));
    }
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?;
    let certificate = params(days).self_signed(&pair)?;
    write(key, &pair.serialize_pem(), 0o600)?;
    write(cert, &certificate.pem(), 0o644)
}

fn params(days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "gibbon-cluster");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // Clocks of nodes differ; a pair that is not valid yet on one of them keeps it out.
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(i64::from(days));
    params
}

/// Under a temporary name first: a reader sees the old file or the new one, never half of one.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let failed = |source| PkiError::Write { path: path.to_owned(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pair_is_made_once_and_usable_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("a/cluster.crt"), dir.path().join("a/cluster.key"));
        gen_cert(&cert, &key, 30, false).unwrap();
        let identity = node::identity::Identity::load(&cert, &key).unwrap();
        let left = identity.not_after() - OffsetDateTime::now_utc().unix_timestamp();
        assert!((29 * 86_400..=30 * 86_400).contains(&left), "{left} s");
        let mode = std::fs::metadata(&key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let before = std::fs::read(&key).unwrap();
        assert!(matches!(gen_cert(&cert, &key, 30, false), Err(PkiError::Exists(_))));
        assert_eq!(std::fs::read(&key).unwrap(), before);
        gen_cert(&cert, &key, 30, true).unwrap();
        assert_ne!(std::fs::read(&key).unwrap(), before);
    }
}
