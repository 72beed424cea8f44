//! Reloads a node's identity and the peers that it trusts when their files change, without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use uuid::Uuid;

use super::certificate::{PeerCertificate, Role};
use super::files::{CERTIFICATE, IdentityError};
use super::trust::{Authorities, Pins, Trust};
use super::{Identity, Mode, client_config, server_config};
use crate::file::FileVersion;

/// How often a program checks whether its files have changed.
pub const POLL: Duration = Duration::from_secs(1);

/// The files of a node's identity.
#[derive(Clone, Debug)]
pub struct Files {
    /// How nodes authenticate each other.
    pub mode: Mode,
    /// The role of this node.
    pub role: Role,
    /// The node's certificate, PEM.
    pub certificate: PathBuf,
    /// The node's private key, PEM.
    pub key: PathBuf,
    /// In `shared` mode further pinned certificates, in `pki` mode those of the authorities; PEM.
    pub ca: Option<PathBuf>,
}

/// A node's identity, as last read without an error.
#[derive(Debug)]
pub struct IdentityReloader {
    files: Files,
    identity: Identity,
    trust: Trust,
    read: [Option<FileVersion>; 3],
}

impl IdentityReloader {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Those of [`Identity::load`], [`Pins::and_file`] and [`Authorities::load`]; in `pki` mode also when the
    /// certificate is not for this role.
    pub fn open(files: Files) -> Result<Self, IdentityError> {
        let read = files.stamps();
        let (identity, trust) = files.load()?;
        Ok(Self { files, identity, trust, read })
    }

    /// Reads the files again if one of them has changed since the last call. Returns whether it has.
    ///
    /// # Errors
    ///
    /// A file is missing, half written or wrong: the previous identity stays active. Each change returns the
    /// error once.
    pub fn refresh(&mut self) -> Result<bool, IdentityError> {
        // Before the files are read: a write during the read counts as the next change.
        let stamps = self.files.stamps();
        if stamps == self.read {
            return Ok(false);
        }
        self.read = stamps;
        let (identity, trust) = self.files.load()?;
        self.files.same_node(self.identity.leaf(), identity.leaf())?;
        (self.identity, self.trust) = (identity, trust);
        Ok(true)
    }

    /// The node's key pair.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The node id that this node's certificate names; in `shared` mode no certificate names one.
    pub fn certified_id(&self) -> Option<Uuid> {
        self.identity.leaf().node_id().filter(|_| self.files.mode == Mode::Pki)
    }

    /// The TLS configuration of a listener for the current files.
    ///
    /// # Errors
    ///
    /// Those of [`server_config`].
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        server_config(&self.identity, &self.trust)
    }

    /// The TLS configuration of a client for the current files.
    ///
    /// # Errors
    ///
    /// Those of [`client_config`].
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        client_config(&self.identity, &self.trust)
    }
}

impl Files {
    fn load(&self) -> Result<(Identity, Trust), IdentityError> {
        let identity = Identity::load(&self.certificate, &self.key)?;
        let trust = match (self.mode, &self.ca) {
            (Mode::Shared, None) => Trust::Pins(Pins::from(&identity)),
            (Mode::Shared, Some(further)) => Trust::Pins(Pins::from(&identity).and_file(further)?),
            (Mode::Pki, ca) => {
                self.check_role(identity.leaf())?;
                Trust::Authorities(Authorities::load(ca.as_deref().unwrap_or(Path::new("")))?)
            }
        };
        Ok((identity, trust))
    }

    fn check_role(&self, own: &PeerCertificate) -> Result<(), IdentityError> {
        let is = match own.node {
            Some(node) if node.role == self.role => return Ok(()),
            Some(node) => format!("it is that of a {}", node.role.in_words()),
            None => "it names no node".to_owned(),
        };
        let (words, role) = (self.role.in_words(), self.role.as_str());
        let reason = format!("{is}, this is a {words}; make one with: gibbon-control pki issue {role}");
        Err(IdentityError::new(CERTIFICATE, &self.certificate, reason))
    }

    /// A running node does not change its id. A peer that sees the new id would still count the old one as
    /// connected. A certificate that is here by mistake would disconnect the node that it belongs to.
    fn same_node(&self, before: &PeerCertificate, now: &PeerCertificate) -> Result<(), IdentityError> {
        match (self.mode, before.node_id(), now.node_id()) {
            (Mode::Pki, Some(before), Some(now)) if before != now => {
                let reason =
                    format!("it is of the node {now}, this one runs as {before}; start it anew to change");
                Err(IdentityError::new(CERTIFICATE, &self.certificate, reason))
            }
            _ => Ok(()),
        }
    }

    fn stamps(&self) -> [Option<FileVersion>; 3] {
        [Some(&self.certificate), Some(&self.key), self.ca.as_ref()].map(|path| Some(FileVersion::of(path?)))
    }
}
