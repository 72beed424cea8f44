//! The one pair of the `shared` mode.

use std::path::Path;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use super::authority::validity;
use super::files::{PRIVATE, PUBLIC, PkiError, check_free, write};

/// Makes the pair that all nodes of a cluster hold in the `shared` mode: EC P-384, self-signed, valid for
/// both sides of a connection. Writes both files or neither.
///
/// # Errors
/// When a file exists and `force` is not given, or a file cannot be written.
pub fn gen_cert(cert: &Path, key: &Path, days: u32, force: bool) -> Result<(), PkiError> {
    check_free(&[cert, key], force)?;
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?;
    let certificate = params(days).self_signed(&pair)?;
    write(key, &pair.serialize_pem(), PRIVATE)?;
    write(cert, &certificate.pem(), PUBLIC)
}

fn params(days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "gibbon-cluster");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = validity(days);
    params
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use time::OffsetDateTime;

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
