//! TLS to the Admin API.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

/// The files of a client's TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsFiles {
    /// Authorities; the system's without them.
    pub(super) ca: Option<PathBuf>,
    /// The certificate and the key that the client shows.
    pub(super) pair: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Reads the files.
    pub(super) fn connector(&self) -> Result<TlsConnector, String> {
        let builder = ClientConfig::builder().with_root_certificates(self.roots()?);
        let config = match &self.pair {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let parsed = PrivateKeyDer::from_pem_file(key);
                let parsed = parsed.map_err(|error| unusable(key, error))?;
                let chosen = builder.with_client_auth_cert(certificates(cert)?, parsed);
                chosen.map_err(|error| unusable(cert, error))?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(file) => {
                for certificate in certificates(file)? {
                    roots.add(certificate).map_err(|error| unusable(file, error))?;
                }
            }
            None => {
                let system = rustls_native_certs::load_native_certs();
                let system =
                    system.map_err(|error| format!("cannot read the system's authorities: {error}"))?;
                roots.add_parsable_certificates(system);
            }
        }
        Ok(roots)
    }
}

/// The name that the server's certificate must have.
pub(super) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match all {
        Ok(all) if all.is_empty() => Err(unusable(file, "it has no certificate in PEM")),
        all => all.map_err(|error| unusable(file, error)),
    }
}

fn unusable(file: &Path, reason: impl std::fmt::Display) -> String {
    format!("cannot use {}: {reason}", file.display())
}
