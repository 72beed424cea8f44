//! TLS of the Admin API: its own certificate, and the authorities of clients. Changed files are read again.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use node::file::FileVersion;
use node::identity::{POLL, PeerCertificate};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::host::Host;

/// Paths of the TLS files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, with its chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authorities whose certificates clients may show, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether a client may connect without a certificate, since it may have a token.
    pub optional: bool,
}

/// The names and authorities from the TLS files.
#[derive(Debug)]
pub(crate) struct Trusted {
    /// The names in the listener's own certificate.
    pub(super) hosts: Vec<Host>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// The TLS files, as last read without an error.
pub(crate) struct TlsWatch {
    files: TlsFiles,
    versions: [Option<FileVersion>; 3],
    config: watch::Sender<Arc<ServerConfig>>,
    trusted: watch::Sender<Arc<Trusted>>,
}

impl TlsWatch {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read or is invalid; the error names the file and the reason.
    pub(crate) fn open(files: TlsFiles) -> Result<Self, String> {
        let versions = files.versions();
        let (config, trusted) = files.load()?;
        Ok(Self { files, versions, config: watch::Sender::new(config), trusted: watch::Sender::new(trusted) })
    }

    /// Returns the configuration for the next handshake.
    pub(crate) fn config(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.config.subscribe()
    }

    /// Returns the names and authorities for the next request.
    pub(crate) fn trusted(&self) -> watch::Receiver<Arc<Trusted>> {
        self.trusted.subscribe()
    }

    /// Reads the files whenever one changes, until `stop`; calls `count` with whether they were valid.
    pub(crate) async fn follow(mut self, stop: CancellationToken, count: impl Fn(bool)) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.refresh() {
                Ok(false) => {}
                Ok(true) => {
                    count(true);
                    info!("the certificates of the Admin API were read again");
                }
                Err(reason) => {
                    count(false);
                    warn!("{reason}; the certificates that were read before stay active");
                }
            }
        }
    }

    fn refresh(&mut self) -> Result<bool, String> {
        let versions = self.files.versions();
        if versions == self.versions {
            return Ok(false);
        }
        self.versions = versions;
        let (config, trusted) = self.files.load()?;
        self.config.send_replace(config);
        self.trusted.send_replace(trusted);
        Ok(true)
    }
}

impl TlsFiles {
    fn load(&self) -> Result<(Arc<ServerConfig>, Arc<Trusted>), String> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|error| format!("cannot use {}: {error}", path.display()))
        };
        let pair = node::certified_key::parse(&read(&self.cert)?, &read(&self.key)?).map_err(|error| {
            format!("cannot use {} with {}: {error}", self.cert.display(), self.key.display())
        })?;
        let clients = self.client_ca.as_ref().map(|path| self.verifier(path)).transpose()?;
        let hosts = pair.cert.first().map(names).unwrap_or_default();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // TLS 1.2 and 1.3.
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
            None => builder.with_no_client_auth(),
        };
        let resolver = rustls::sign::SingleCertAndKey::from(pair);
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(config), Arc::new(Trusted { hosts, clients })))
    }

    fn verifier(&self, path: &PathBuf) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let fail = |reason: String| format!("cannot use the authorities in {}: {reason}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))? {
            let certificate = certificate.map_err(|error| fail(error.to_string()))?;
            if !PeerCertificate::of(&certificate).map_err(fail)?.is_authority {
                return Err(fail("one of the certificates is not that of an authority".to_owned()));
            }
            roots.add(certificate).map_err(|error| fail(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if self.optional { builder.allow_unauthenticated() } else { builder };
        builder.build().map_err(|error| fail(error.to_string()))
    }

    fn versions(&self) -> [Option<FileVersion>; 3] {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].map(|path| Some(FileVersion::of(path?)))
    }
}

impl Trusted {
    /// Whether clients may show certificates.
    pub(super) fn asks_clients(&self) -> bool {
        self.clients.is_some()
    }

    /// Returns the name of a certificate's holder if the present authorities accept it: they may be newer
    /// than the connection. A certificate of a cluster node identifies no client.
    pub(super) fn name_of(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Option<String> {
        let (own, intermediates) = chain.split_first()?;
        self.clients.as_ref()?.verify_client_cert(own, intermediates, now).ok()?;
        let leaf = PeerCertificate::of(own).ok().filter(|leaf| leaf.node.is_none())?;
        if !leaf.subject.is_empty() {
            return Some(leaf.subject);
        }
        Some(first_name(own).unwrap_or_else(|| leaf.fingerprint.to_string()))
    }
}

/// Returns the host names in a certificate.
fn names(certificate: &CertificateDer<'_>) -> Vec<Host> {
    alternative_names(certificate, |name| match name {
        GeneralName::DNSName(name) => Host::parse(name),
        _ => None,
    })
}

/// Returns the first name of a person, host or thing in a certificate.
fn first_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let names = alternative_names(certificate, |name| match name {
        GeneralName::RFC822Name(name) | GeneralName::DNSName(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        _ => None,
    });
    names.into_iter().next()
}

fn alternative_names<T>(
    certificate: &CertificateDer<'_>,
    take: impl Fn(&GeneralName<'_>) -> Option<T>,
) -> Vec<T> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names = parsed.subject_alternative_name().ok().flatten();
    names.map(|names| names.value.general_names.iter().filter_map(take).collect()).unwrap_or_default()
}

impl fmt::Debug for TlsWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsWatch").field("files", &self.files).finish_non_exhaustive()
    }
}
