//! A certificate with its private key, shown in TLS handshakes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::private_key::{PrivateKey, expose, expose_optional};

/// A certificate as it is published. Its canonical bytes follow the rules of a [`crate::Service`]. `Debug`
/// does not show its private keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// The chain in PEM, its own certificate first.
    pub cert: String,
    /// The private key in PEM.
    #[serde(serialize_with = "expose")]
    pub key: PrivateKey,
    /// A second chain, with a key of another type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_alt: Option<String>,
    /// The private key of the second chain.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "expose_optional")]
    pub key_alt: Option<PrivateKey>,
}
