//! A certificate authority that peers' certificates are verified against.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A CA certificate as it is published; its canonical bytes are made as those of a [`crate::Service`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaCertificate {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// The certificate in PEM.
    pub cert: String,
}
