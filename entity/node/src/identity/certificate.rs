//! The contents of a node's certificate.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::CertificateDer;
use uuid::Uuid;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The prefix of a node's name, which is a URI among its certificate's alternative names.
const URN: &str = "urn:gibbon:";

/// The fields that are read from a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Fingerprint of the certificate.
    pub fingerprint: Fingerprint,
    /// Serial number, given by the authority: lower-case hex digits, without leading zeros.
    pub serial: String,
    /// Common name, for people; may be empty.
    pub subject: String,
    /// The node that the certificate is for; a self-signed pair of the `shared` mode has none.
    pub node: Option<NodeName>,
    /// Whether the certificate may sign others.
    pub is_authority: bool,
    /// First moment of validity, seconds since 1970.
    pub not_before: i64,
    /// Last moment of validity, seconds since 1970.
    pub not_after: i64,
}

/// SHA-256 of a certificate's DER bytes, as `openssl x509 -fingerprint -sha256` prints it, without colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// The name of a node, with its program: `urn:gibbon:data-plane:<uuid>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeName {
    /// The program that the node may run.
    pub role: Role,
    /// The node id.
    pub id: Uuid,
}

/// Which of the two programs a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// gibbon-control
    ControlPlane,
    /// gibbon-gateway
    DataPlane,
}

/// A name that is not the name of a node.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("expected {URN}control-plane:<uuid> or {URN}data-plane:<uuid>")]
pub struct NodeNameError;

impl PeerCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// The reason: it is not X.509, or names more than one node.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| format!("not X.509: {error}"))?;
        let validity = parsed.validity();
        let subject = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok());
        Ok(Self {
            fingerprint: Fingerprint::of(certificate),
            serial: hex(parsed.raw_serial()).trim_start_matches('0').to_owned(),
            subject: subject.unwrap_or_default().to_owned(),
            node: node(&parsed)?,
            is_authority: parsed.is_ca(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// The node id that the certificate is for.
    pub fn node_id(&self) -> Option<Uuid> {
        self.node.map(|node| node.id)
    }
}

impl Fingerprint {
    /// The fingerprint of a certificate's DER bytes.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl Role {
    /// The role as names and commands spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ControlPlane => "control-plane",
            Self::DataPlane => "data-plane",
        }
    }

    /// The role in words, for people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::ControlPlane => "control plane",
            Self::DataPlane => "data plane",
        }
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let (role, id) = text.strip_prefix(URN).and_then(|rest| rest.split_once(':')).ok_or(NodeNameError)?;
        let roles = [Role::ControlPlane, Role::DataPlane];
        let role = roles.into_iter().find(|known| known.as_str() == role).ok_or(NodeNameError)?;
        Ok(Self { role, id: id.parse().map_err(|_malformed| NodeNameError)? })
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{URN}{}:{}", self.role.as_str(), self.id)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The one node that a certificate names, if it names any. With two names it would be unclear which one
/// counts.
fn node(certificate: &X509Certificate<'_>) -> Result<Option<NodeName>, String> {
    let names = certificate.subject_alternative_name().map_err(|error| format!("not X.509: {error}"))?;
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let mut nodes = names.filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with(URN) => Some(*uri),
        _ => None,
    });
    let Some(name) = nodes.next() else { return Ok(None) };
    if nodes.next().is_some() {
        return Err("it names more than one node".to_owned());
    }
    name.parse().map(Some).map_err(|error| format!("its name is {name}: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
