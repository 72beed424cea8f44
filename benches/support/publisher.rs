//! The publishing side of a data plane: it makes the updates that an applier takes.

use bytes::BytesMut;
use model::Entity;
use uuid::Uuid;
use wire::{Digest, EntityHash, Key, Mode, Position, Record, Update};

/// An entity and its canonical bytes.
pub type Published = (Key, Vec<u8>);

/// A configuration as the control plane publishes it, and its position.
#[derive(Clone, Debug)]
pub struct Publisher {
    digest: Digest,
    position: Position,
}

impl Publisher {
    /// Creates one with an empty configuration.
    pub fn new() -> Self {
        let position = Position { epoch: Uuid::from_u128(7), ..Position::default() };
        Self { digest: Digest::new(), position }
    }

    /// Makes an update that puts these entities.
    pub fn update(&mut self, mode: Mode, entities: &[Published]) -> Update {
        let mut payload = BytesMut::new();
        for (key, bytes) in entities {
            self.digest.set(*key, Some(EntityHash::of(*key, bytes)));
            Record { key: *key, value: Some(bytes) }.encode(&mut payload);
        }
        let from = self.position.revision;
        self.position.revision += 1;
        self.position.root = self.digest.root();
        Update::new(mode, if mode == Mode::Snapshot { 0 } else { from }, self.position, payload.freeze())
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

/// An entity as it is published.
pub fn published<E: Entity>(id: Uuid, entity: E) -> Published {
    (Key { kind: E::KIND, id }, entity.canonical())
}
