//! One change of a configuration.

use model::{AnyEntity, Unreadable};
use wire::Key;

use crate::section::Refusal;

/// One change of the configuration: an entity is put in place of the one with its key, or removed.
#[derive(Clone, Debug)]
pub struct Change {
    pub(super) key: Key,
    pub(super) entity: Option<AnyEntity>,
}

impl Change {
    /// Puts `entity`, which keeps the rules of its kind, in place of the one with its key.
    pub fn put(entity: impl Into<AnyEntity>) -> Self {
        let entity = entity.into();
        Self { key: entity.key(), entity: Some(entity) }
    }

    /// Removes the entity of `key`, if it is there.
    pub const fn remove(key: Key) -> Self {
        Self { key, entity: None }
    }

    /// Reads a change from the canonical bytes of the entity, or from none for one that is removed. Returns
    /// `None` for a kind that this version does not know and may ignore. An update holds no second record of
    /// a key, so one of another unknown kind that is put would stay.
    ///
    /// # Errors
    /// When the bytes cannot be read, the entity breaks a rule of its kind, or this version does not know what
    /// must be understood.
    pub fn read(key: Key, bytes: Option<&[u8]>) -> Result<Option<Self>, Refusal> {
        let Some(kind) = model::described(key.kind) else {
            return match bytes {
                Some(_) if model::must_understand(key.kind) => Err(Refusal::unsupported(key, None)),
                _ => Ok(None),
            };
        };
        let Some(bytes) = bytes else { return Ok(Some(Self::remove(key))) };
        match kind.parse(key.id, bytes) {
            Ok(entity) => Ok(Some(Self { key, entity: Some(entity) })),
            Err(Unreadable::Bytes(error)) => {
                Err(Refusal::new(key, None, format!("its bytes cannot be read: {error}")))
            }
            Err(Unreadable::Unsupported(field)) => Err(Refusal::unsupported(key, Some(&field))),
            Err(Unreadable::Invalid(violations)) => Err(Refusal::invalid(key, &violations)),
        }
    }

    /// The key of the entity.
    pub const fn key(&self) -> Key {
        self.key
    }

    /// The entity, unless it is removed.
    pub const fn entity(&self) -> Option<&AnyEntity> {
        self.entity.as_ref()
    }
}
