//! An authority: its certificate, which every node holds, and its key, which signs the nodes' certificates.

use std::path::{Path, PathBuf};

use node::identity::PeerCertificate;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};

use super::files::{PRIVATE, PUBLIC, PkiError, check_free, read, unusable, write};

/// The command that makes an authority.
const HINT: &str = "make an authority with: gibbon-control pki init";

/// An authority in a folder.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    not_after: OffsetDateTime,
}

impl Authority {
    /// Makes an authority in `folder`: `ca.crt` and `ca.key`. EC P-256 costs a control plane least when a
    /// thousand data planes reconnect at once.
    ///
    /// # Errors
    /// When there is one and `force` is not given, or a file cannot be written.
    pub fn init(folder: &Path, days: u32, force: bool) -> Result<Self, PkiError> {
        let (cert, key) = (certificate_path(folder), key_path(folder));
        check_free(&[&cert, &key], force)?;
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let params = params(days);
        write(&key, &pair.serialize_pem(), PRIVATE)?;
        write(&cert, &params.self_signed(&pair)?.pem(), PUBLIC)?;
        let not_after = params.not_after;
        Ok(Self { folder: folder.to_owned(), issuer: Issuer::new(params, pair), not_after })
    }

    /// Reads the authority in `folder`.
    ///
    /// # Errors
    /// When its files are missing or belong to no authority, or it has expired.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let (cert, key) = (certificate_path(folder), key_path(folder));
        let (text, key_text) = (read(&cert, HINT)?, read(&key, HINT)?);
        let certificate = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|error| unusable(&cert, format!("{error}; {HINT}")))?;
        let leaf = PeerCertificate::of(&certificate).map_err(|reason| unusable(&cert, reason))?;
        if !leaf.is_authority {
            return Err(unusable(&cert, format!("it is not the certificate of an authority; {HINT}")));
        }
        let not_after = OffsetDateTime::from_unix_timestamp(leaf.not_after)
            .map_err(|error| unusable(&cert, error.to_string()))?;
        if not_after < OffsetDateTime::now_utc() {
            return Err(unusable(&cert, format!("it has expired; {HINT} --dir ANOTHER")));
        }
        let pair = KeyPair::from_pem(&key_text).map_err(|error| unusable(&key, error.to_string()))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, pair)?;
        Ok(Self { folder: folder.to_owned(), issuer, not_after })
    }

    /// Returns the path of the certificate, which every node gets.
    pub fn certificate_path(&self) -> PathBuf {
        certificate_path(&self.folder)
    }

    /// Returns the path of the key, which no node gets.
    pub fn key_path(&self) -> PathBuf {
        key_path(&self.folder)
    }

    /// Signs a certificate for the holder of a key. It is valid for `days`, or as long as the authority is.
    pub(super) fn sign(
        &self,
        mut params: CertificateParams,
        days: u32,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, PkiError> {
        let (not_before, not_after) = validity(days);
        (params.not_before, params.not_after) = (not_before, not_after.min(self.not_after));
        params.serial_number = Some(new_serial());
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?)
    }
}

/// Returns a validity of `days` that begins a moment ago: a node whose clock is behind would reject a
/// certificate that is not valid yet.
pub(super) fn validity(days: u32) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    (now - Duration::hours(1), now + Duration::days(i64::from(days)))
}

fn certificate_path(folder: &Path) -> PathBuf {
    folder.join("ca.crt")
}

fn key_path(folder: &Path) -> PathBuf {
    folder.join("ca.key")
}

fn params(days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    let serial = new_serial();
    params.distinguished_name = DistinguishedName::new();
    // The name distinguishes two authorities that overlap.
    let name = format!("gibbon cluster authority {}", serial.to_string().replace(':', "").split_at(8).0);
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(days);
    params
}

/// Returns a random serial number. One derived from the key would recur when a certificate is renewed.
fn new_serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    // RFC 5280 section 4.1.2.2: positive. No leading zeros, so that there is only one way to write it.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}
