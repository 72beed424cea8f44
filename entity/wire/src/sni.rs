//! A server name, and the certificate that is shown to who asks for it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A server name as it is published; its canonical bytes are made as those of a [`crate::Service`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sni {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    pub id: Uuid,
    /// The name of the handshake, in lower case; its first or last label may be `*`, or it [`Sni::ANY`].
    pub name: String,
    /// The certificate that is shown.
    pub certificate: Uuid,
}

impl Sni {
    /// The name that stands for every other one, and for clients that name none.
    pub const ANY: &str = "*";
}
