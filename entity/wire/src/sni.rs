//! A server name of TLS, and the certificate for it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A server name as it is published. Its canonical bytes follow the rules of a [`crate::Service`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sni {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// The name of the handshake, in lower case. Its first or last label may be `*`; the whole name may be
    /// [`Sni::ANY`].
    pub name: String,
    /// The certificate that data planes show for the name.
    pub certificate: Uuid,
}

impl Sni {
    /// The name that matches every name without an entry of its own, and clients that send no name.
    pub const ANY: &str = "*";
}
