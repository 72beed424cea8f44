//! The identity under which an entity is published: its kind and its id.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A kind of published entity. Its number is a byte on the wire and in the change log: it never changes and
/// is never reused. A receiver keeps records of a kind that it does not know, since they count in the hash,
/// and does nothing else with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(pub u8);

impl Kind {
    /// A [`crate::Service`].
    pub const SERVICE: Self = Self(1);
    /// A [`crate::Route`].
    pub const ROUTE: Self = Self(2);
    /// A [`crate::Certificate`].
    pub const CERTIFICATE: Self = Self(3);
    /// A [`crate::Sni`].
    pub const SNI: Self = Self(4);
    /// A [`crate::CaCertificate`].
    pub const CA_CERTIFICATE: Self = Self(5);

    /// The name of the Admin API's collection, as an operator knows it; `None` for a kind that this
    /// version does not know.
    pub const fn collection(self) -> Option<&'static str> {
        match self {
            Self::SERVICE => Some("services"),
            Self::ROUTE => Some("routes"),
            Self::CERTIFICATE => Some("certificates"),
            Self::SNI => Some("snis"),
            Self::CA_CERTIFICATE => Some("ca_certificates"),
            _ => None,
        }
    }

    /// Whether entities of this kind may hold a secret, such as a private key. True for a kind that this
    /// version does not know.
    pub const fn may_hold_secrets(self) -> bool {
        !matches!(self, Self::SERVICE | Self::ROUTE | Self::SNI | Self::CA_CERTIFICATE)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.collection() {
            Some(name) => f.write_str(name),
            None => write!(f, "kind {}", self.0),
        }
    }
}

/// The identity of one published entity. Keys sort by kind, then by id: services come before the routes that
/// name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The kind of the entity.
    pub kind: Kind,
    /// The id of the entity.
    pub id: Uuid,
}

impl Key {
    /// The key of the service `id`.
    pub const fn service(id: Uuid) -> Self {
        Self { kind: Kind::SERVICE, id }
    }

    /// The key of the route `id`.
    pub const fn route(id: Uuid) -> Self {
        Self { kind: Kind::ROUTE, id }
    }

    /// The key of the certificate `id`.
    pub const fn certificate(id: Uuid) -> Self {
        Self { kind: Kind::CERTIFICATE, id }
    }

    /// The key of the server name `id`.
    pub const fn sni(id: Uuid) -> Self {
        Self { kind: Kind::SNI, id }
    }

    /// The key of the CA certificate `id`.
    pub const fn ca_certificate(id: Uuid) -> Self {
        Self { kind: Kind::CA_CERTIFICATE, id }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}
