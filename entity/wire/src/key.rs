//! The identity under which an entity is published: its kind and its id.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A kind of published entity. Its number is a byte on the wire and in the change log: it never changes and
/// is never reused. A receiver keeps records of a kind that it does not know, since they count in the hash,
/// and does nothing else with them, unless the kind must be understood: see [`Kind::must_be_understood`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(pub u8);

/// The first number of the kinds that a data plane may ignore.
const OPTIONAL: u8 = 128;

impl Kind {
    /// Whether a data plane that does not know the kind must not serve a configuration with such an entity.
    pub const fn must_be_understood(self) -> bool {
        self.0 < OPTIONAL
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kind {}", self.0)
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

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}
