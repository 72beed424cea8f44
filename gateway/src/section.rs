//! What an entity of each kind is compiled into, once, when it is applied. A section holds the compiled
//! entities of one kind in persistent maps: a copy of it is a snapshot, a lookup takes no lock, and a change
//! copies one path.
//!
//! A kind is one type here that implements [`Section`], and one line in `table/sections.rs`; one that requests use
//! as it is declared is [`Declared`] there. Of Pingora, and of the source of the configuration, nothing here knows.

mod ca_certificate;
mod certificate;
mod consumer;
mod credential;
mod declared;
mod key_auth;
mod map;
mod named;
mod owned;
mod references;
mod referrers;
mod refusal;
mod router;
mod service;
mod sni;
mod target;
mod upstream;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use model::{Entity, RouterOrder};
use uuid::Uuid;
use wire::{Key, Kind};

use crate::certified_keys::CertifiedKeys;
use crate::upstream::Authority;

pub use consumer::Consumer;
pub use credential::{Acl, BasicAuthCredential, HashKey, HmacAuthCredential, JwtSecret};
pub use declared::Declared;
pub use key_auth::{KeyAuthCredential, KeyAuths, KnownKey};
pub use map::{KeyOf, Map};
pub use named::{ByName, Name, Names};
pub use owned::{ByOwner, Owned};
pub use references::{Named, References};
pub use referrers::{ReferenceChanges, Referrers};
pub use refusal::Refusal;
pub use router::{Router, Routers};
pub use service::Service;
pub use sni::{Sni, find};
pub use target::{Target, TargetHealth};
pub use upstream::Upstream;

/// What an entity of one kind is compiled into.
pub trait Section: Clone + Send + Sync + 'static {
    /// The entity as it is declared.
    type Entity: Entity;

    /// The kinds of which it holds compiled parts. When one changes that it names, it is linked again. A kind that
    /// finds out by itself what has changed is not among them.
    const HOLDS: &'static [Kind] = &[];

    /// Compiles an entity that keeps the rules of its kind, as far as it does not depend on others.
    ///
    /// # Errors
    /// When the data plane cannot use it.
    fn compile(entity: &Self::Entity, references: References) -> Result<Self, Refusal>;

    /// The id of the entity.
    fn id(&self) -> &Uuid;

    /// The entities that it names: those that [`Section::compile`] was given.
    fn references(&self) -> Cow<'_, References> {
        Cow::Borrowed(&References::NONE)
    }

    /// What messages call this entity, after the noun.
    fn label(&self) -> String {
        self.id().to_string()
    }

    /// Takes parts of the entities that it names, all of which exist, for several entities at once.
    ///
    /// # Errors
    /// When the parts do not fit an entity.
    fn link(_batch: &mut [&mut Arc<Self>], _parts: &Parts<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// The key of the entity.
    fn key(&self) -> Key {
        Key { kind: Self::Entity::KIND, id: *self.id() }
    }
}

/// The sections of which other entities hold parts.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The certificates.
    pub certificates: &'a Map<CertifiedKeys, ById>,
    /// The CA certificates.
    pub authorities: &'a Map<Authority, ById>,
    /// The consumers.
    pub consumers: &'a Names<Consumer>,
}

/// The settings of the whole cluster by which sections arrange their entities.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The order in which the routes that match a request are preferred.
    pub order: RouterOrder,
}

/// Compiled entities by id; `None` is removed.
pub type Changes<T> = HashMap<Uuid, Option<Arc<T>>>;

/// The compiled entities of one kind, in the form in which requests look them up. A copy is cheap.
pub trait Store<T>: Clone + Default {
    /// The entity `id`.
    fn get(&self, id: &Uuid) -> Option<Arc<T>>;

    /// Visits every entity, in no particular order.
    fn each(&self, visit: impl FnMut(&T));

    /// Applies `changes`, and arranges the entities by `settings`.
    ///
    /// # Errors
    /// When the entities cannot exist beside each other. The store is of no use then.
    fn apply(&mut self, changes: &Changes<T>, settings: Settings) -> Result<(), Refusal>;
}

/// Keys a map by the ids of entities.
#[derive(Clone, Copy, Debug)]
pub struct ById;

impl<T: Section> KeyOf<T> for ById {
    type Key = Uuid;

    fn key(value: &T) -> &Uuid {
        value.id()
    }
}

impl<T: Section> Store<T> for Map<T, ById> {
    fn get(&self, id: &Uuid) -> Option<Arc<T>> {
        Map::get(self, id).cloned()
    }

    fn each(&self, mut visit: impl FnMut(&T)) {
        Map::each(self, |entity| visit(entity));
    }

    fn apply(&mut self, changes: &Changes<T>, _: Settings) -> Result<(), Refusal> {
        for (id, change) in changes {
            match change {
                Some(put) => self.insert(put.clone()),
                None => self.remove(id),
            };
        }
        Ok(())
    }
}
