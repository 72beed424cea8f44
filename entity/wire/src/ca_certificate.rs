//! A certificate authority that verifies the certificates of peers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A CA certificate as it is published. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaCertificate {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// The certificate in PEM.
    pub cert: String,
}
