//! A certificate: what is shown in TLS handshakes, with its private key.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A certificate as it is published; its canonical bytes are made as those of a [`crate::Service`]. It
/// holds private keys: its `Debug` does not show them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// The chain in PEM, its own certificate first.
    pub cert: String,
    /// The private key in PEM.
    pub key: String,
    /// A second chain, with a key of another type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_alt: Option<String>,
    /// The private key of the second chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_alt: Option<String>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, cert, cert_alt, .. } = self;
        f.debug_struct("Certificate")
            .field("id", id)
            .field("cert", cert)
            .field("cert_alt", cert_alt)
            .finish_non_exhaustive()
    }
}
