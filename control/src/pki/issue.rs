//! Certificates of nodes.

use std::fmt;
use std::path::{Path, PathBuf};

use node::identity::{NodeName, PeerCertificate, Role};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::authority::Authority;
use super::files::{PRIVATE, PUBLIC, PkiError, check_free, read, unusable, write};

/// The contents of a certificate.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    /// Which program the node runs.
    pub role: Role,
    /// Its id.
    pub node_id: Uuid,
    /// A name for people; without one, the role and the beginning of the id.
    pub name: Option<String>,
    /// The validity in days.
    pub days: u32,
}

/// The result of issuing; printed as files and node.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The file of the private key, if a new one was made.
    pub key: Option<PathBuf>,
    /// The node that the certificate names.
    pub node: NodeName,
}

/// Makes a pair for a node in `folder`: EC P-256, valid for the node's side of a connection only.
///
/// # Errors
/// When a file exists and `force` is not given, or a file cannot be written.
pub fn issue(
    authority: &Authority,
    order: CertificateRequest,
    folder: &Path,
    force: bool,
) -> Result<Issued, PkiError> {
    let node = NodeName { role: order.role, id: order.node_id };
    let name = order.name.unwrap_or_else(|| default_name(node));
    // A name for people may hold characters that a file name may not.
    let file = name.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "_");
    let (cert, key) = (folder.join(format!("{file}.crt")), folder.join(format!("{file}.key")));
    check_free(&[&cert, &key], force)?;
    let pair = new_key()?;
    let certificate = authority.sign(params(node, &name)?, order.days, &pair)?;
    write(&key, &pair.serialize_pem(), PRIVATE)?;
    write(&cert, &certificate.pem(), PUBLIC)?;
    Ok(Issued { certificate: cert, key: Some(key), node })
}

/// Replaces a node's certificate by one for the same node, with the same key or a new one.
///
/// With the same key, only one file changes on the node, so that its two files match at every moment. The key
/// itself is not needed here.
///
/// # Errors
/// When the certificate cannot be read or names no node, or a file cannot be written.
pub fn renew(authority: &Authority, cert: &Path, days: u32, new_key: bool) -> Result<Issued, PkiError> {
    let before = read_certificate(cert)?;
    let leaf = PeerCertificate::of(&before).map_err(|reason| unusable(cert, reason))?;
    let node = leaf.node.ok_or_else(|| {
        unusable(
            cert,
            "it names no node; a pair of the shared mode is replaced with: gibbon-control pki gen-cert",
        )
    })?;
    let params = params(node, &leaf.subject)?;
    let key = if new_key { Some(cert.with_extension("key")) } else { None };
    let certificate = match &key {
        Some(path) => {
            let pair = self::new_key()?;
            let certificate = authority.sign(params, days, &pair)?;
            write(path, &pair.serialize_pem(), PRIVATE)?;
            certificate
        }
        None => {
            authority.sign(params, days, &public_key(&before).map_err(|reason| unusable(cert, reason))?)?
        }
    };
    write(cert, &certificate.pem(), PUBLIC)?;
    Ok(Issued { certificate: cert.to_owned(), key, node })
}

impl fmt::Display for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.certificate.display())?;
        if let Some(key) = &self.key {
            write!(f, " and {}", key.display())?;
        }
        write!(f, " for the {} {}", self.node.role.in_words(), self.node.id)
    }
}

fn default_name(node: NodeName) -> String {
    format!("{}-{:.8}", node.role.as_str(), node.id.to_string())
}

/// Builds the contents of a certificate: a data plane is a client, a control plane a server, and neither may
/// act as the other.
fn params(node: NodeName, name: &str) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![SanType::URI(node.to_string().try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match node.role {
        Role::ControlPlane => ExtendedKeyUsagePurpose::ServerAuth,
        Role::DataPlane => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    Ok(params)
}

fn new_key() -> Result<KeyPair, PkiError> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, PkiError> {
    let text = read(path, "make one with: gibbon-control pki issue")?;
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| unusable(path, error.to_string()))
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<impl PublicKeyData + use<>, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    SubjectPublicKeyInfo::from_der(parsed.public_key().raw).map_err(|error| error.to_string())
}
