//! The kinds of entities: one file each, and one line in the list of [`crate::kind`].

use wire::Key;

use crate::entity::Identity;
use crate::kind::{self, with_every_kind};
use crate::record;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $collection:literal: $module:ident::$entity:ident;)*) => {
        $(pub(crate) mod $module;
        pub use $module::$entity;)*

        /// An entity of any kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum AnyEntity {
            $($(#[$doc])* $entity($entity),)*
        }

        impl AnyEntity {
            /// Its key.
            pub fn key(&self) -> Key {
                match self { $(Self::$entity(entity) => $entity::key(entity.id),)* }
            }

            /// Visits the entities that it names, with the index of the field among those of its kind.
            pub fn each_reference(&self, visit: &mut dyn FnMut(usize, Key)) {
                match self { $(Self::$entity(entity) => record::each_reference(entity, visit),)* }
            }
        }

        $(impl $entity {
            /// The key of the entity `id`.
            pub const fn key(id: uuid::Uuid) -> Key {
                Key { kind: kind::$name, id }
            }
        }

        impl Identity for $entity {
            fn id(&self) -> &uuid::Uuid {
                &self.id
            }

            fn set_id(&mut self, id: uuid::Uuid) {
                self.id = id;
            }
        }

        impl From<$entity> for AnyEntity {
            fn from(entity: $entity) -> Self {
                Self::$entity(entity)
            }
        })*
    };
}

with_every_kind!(kinds);
