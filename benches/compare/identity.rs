//! The certificate that every proxy shows.

use std::fs;
use std::path::PathBuf;

use benches::stage;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

/// A certificate for the host of the first routes, with a key of the type that most servers have.
pub(crate) struct Identity {
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    folder: TempDir,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let cert = rcgen::CertificateParams::new([stage::host(0)]).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (cert_pem, key_pem) = (cert.pem(), key.serialize_pem());
        fs::write(folder.path().join("cert.pem"), &cert_pem).unwrap();
        fs::write(folder.path().join("key.pem"), &key_pem).unwrap();
        fs::write(folder.path().join("both.pem"), cert_pem.clone() + &key_pem).unwrap();
        Self { cert: cert.der().clone(), cert_pem, key_pem, folder }
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Certificate and key in one file.
    pub(crate) fn both(&self) -> PathBuf {
        self.folder.path().join("both.pem")
    }
}
