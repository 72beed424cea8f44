//! The kinds of entities. A kind is one file below, and one line in the list.

mod ca_certificate;
mod certificate;
pub(crate) mod route;
mod router;
mod service;
mod sni;

use wire::Kind;

pub use ca_certificate::CaCertificate;
pub use certificate::Certificate;
pub use route::{Endpoint, PathHandling, Route};
pub use router::Router;
pub use service::Service;
pub use sni::Sni;

use crate::entity::{Described, Of};
use crate::record;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal: $entity:ident;)*) => {
        /// The numbers of kinds. A number is a byte on the wire, in the database and on disk: it never
        /// changes and is never reused. One below 128 must be understood: a data plane that does not know
        /// the kind gets no configuration with such an entity.
        pub mod kind {
            use wire::Kind;

            $($(#[$doc])*
            pub const $name: Kind = Kind($number);)*
        }

        /// Every kind, in the order of the numbers. Of two kinds, the later one may name the earlier.
        pub static KINDS: &[&dyn Described] = &[$(&Of::<$entity>::NEW),*];

        /// An entity of any kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum AnyEntity {
            $($(#[$doc])* $entity($entity),)*
        }

        impl AnyEntity {
            /// Its key.
            pub fn key(&self) -> wire::Key {
                match self { $(Self::$entity(entity) => $entity::key(entity.id),)* }
            }

            /// Visits the entities that it names, with the index of the field among those of its kind.
            pub fn each_reference(&self, visit: &mut dyn FnMut(usize, wire::Key)) {
                match self { $(Self::$entity(entity) => record::each_reference(entity, visit),)* }
            }
        }

        $(impl $entity {
            /// The key of the entity `id`.
            pub const fn key(id: uuid::Uuid) -> wire::Key {
                wire::Key { kind: kind::$name, id }
            }
        }

        impl From<$entity> for AnyEntity {
            fn from(entity: $entity) -> Self {
                Self::$entity(entity)
            }
        })*
    };
}

kinds! {
    /// Services.
    SERVICE = 1: Service;
    /// Routes.
    ROUTE = 2: Route;
    /// Certificates.
    CERTIFICATE = 3: Certificate;
    /// Server names.
    SNI = 4: Sni;
    /// CA certificates.
    CA_CERTIFICATE = 5: CaCertificate;
    /// The settings of the router; at most one.
    ROUTER = 6: Router;
}

/// The description of a kind; `None` for one that this version does not know.
pub fn described(kind: Kind) -> Option<&'static dyn Described> {
    KINDS.iter().copied().find(|described| described.kind() == kind)
}

/// The description of the kind with this collection.
pub fn of_collection(name: &str) -> Option<&'static dyn Described> {
    KINDS.iter().copied().find(|described| described.collection() == name)
}

/// The name of a kind's collection, as an operator knows it.
pub fn collection(kind: Kind) -> String {
    described(kind).map_or_else(|| format!("kind {}", kind.0), |described| described.collection().to_owned())
}

/// Whether a data plane that does not know the kind must not serve a configuration with it.
pub const fn must_understand(kind: Kind) -> bool {
    kind.must_be_understood()
}

/// Whether entities of the kind may hold a secret, such as a private key. True for a kind that this version
/// does not know.
pub fn may_hold_secrets(kind: Kind) -> bool {
    described(kind).is_none_or(Described::may_hold_secrets)
}
