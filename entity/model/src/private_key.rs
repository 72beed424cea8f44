//! A private key, or another secret, as it is published.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A private key in PEM, or another secret text. `Debug` does not show it, and its memory is wiped on drop. It has no `Serialize`:
/// only the canonical bytes of an entity hold it.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(SecretString);

impl PrivateKey {
    /// The text, for the code that parses or stores it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl From<String> for PrivateKey {
    fn from(pem: String) -> Self {
        Self(pem.into())
    }
}

impl From<&str> for PrivateKey {
    fn from(pem: &str) -> Self {
        Self(pem.into())
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for PrivateKey {}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}
