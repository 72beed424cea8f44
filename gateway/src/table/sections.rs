//! The list of the sections: what each kind of entity is compiled into, and where the result is kept. Here
//! alone the gateway distinguishes the kinds.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{AnyEntity, CachePurge, Entity, TargetState};
use uuid::Uuid;
use wire::{Key, Kind};

use crate::certified_keys::CertifiedKeys;
use crate::plugin::{Directory, Instance, InstanceChange};
use crate::route::{Entry, Routes};
use crate::section::{
    Acl, BasicAuthCredential, ById, ByOwner, Changes, Consumer, Declared, HashKey, HmacAuthCredential,
    JwtSecret, KeyAuthCredential, KeyAuths, Map, Names, Owned, Parts, References, Referrers, Refusal, Router,
    Routers, Section, Service, Settings, Sni, Store, Target, TargetHealth, Upstream,
};
use crate::upstream::Authority;

/// Does something with each section and the changes of its kind.
pub(super) trait Step {
    fn take<T: Section>(&mut self, held: &impl Store<T>, changes: &Changes<T>) -> Result<(), Refusal>;
}

macro_rules! sections {
    ($($field:ident: $store:ty, of $compiled:ty, from $entity:ident;)*) => {
        /// The compiled entities of every kind. A copy is cheap.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Sections {
            $(pub(super) $field: $store,)*
        }

        /// Changes by entity, each valid by itself; `None` is removed. Of several changes to one entity, this
        /// has the last.
        #[derive(Default)]
        pub(super) struct Plan {
            $($field: Changes<$compiled>,)*
        }

        impl Sections {
            pub(super) fn holds(&self, key: Key) -> bool {
                $(if key.kind == model::$entity::KIND {
                    return Store::get(&self.$field, &key.id).is_some();
                })*
                false
            }

            /// What a message calls the entity.
            pub(super) fn label(&self, key: Key) -> String {
                $(if let (model::$entity::KIND, Some(held)) = (key.kind, Store::get(&self.$field, &key.id)) {
                    return held.label();
                })*
                key.id.to_string()
            }
        }

        impl Plan {
            /// Compiles an entity, to be put in place of the one with its key.
            pub(super) fn put(&mut self, entity: AnyEntity) -> Result<(), Refusal> {
                let references = References::of(&entity);
                match entity {
                    $(AnyEntity::$entity(entity) => {
                        let compiled = <$compiled>::compile(&entity, references)?;
                        debug_assert_eq!(*compiled.references(), References::of(&entity.into()));
                        self.$field.insert(*compiled.id(), Some(Arc::new(compiled)));
                    })*
                }
                Ok(())
            }

            pub(super) fn remove(&mut self, key: Key) {
                $(if key.kind == model::$entity::KIND {
                    self.$field.insert(key.id, None);
                })*
            }

            /// Whether the entity will exist; `None` when it does not change.
            pub(super) fn keeps(&self, key: Key) -> Option<bool> {
                $(if key.kind == model::$entity::KIND {
                    return self.$field.get(&key.id).map(Option::is_some);
                })*
                None
            }

            /// Adds the unchanged entities that hold parts of changed ones, so that they are linked again.
            pub(super) fn follow(&mut self, held: &Sections, referrers: &Referrers) {
                $(for kind in <$compiled as Section>::HOLDS {
                    let by = model::$entity::KIND;
                    for named in self.puts(*kind) {
                        for Key { id, .. } in referrers.holders(named, by) {
                            if let Some(unchanged) = Store::get(&held.$field, &id) {
                                self.$field.entry(id).or_insert_with(|| Some(unchanged.clone()));
                            }
                        }
                    }
                })*
            }

            /// The entities of a kind that are put.
            fn puts(&self, kind: Kind) -> Vec<Key> {
                $(if kind == model::$entity::KIND {
                    let puts = self.$field.iter().filter(|(_, put)| put.is_some());
                    return puts.map(|(id, _)| Key { kind, id: *id }).collect();
                })*
                Vec::new()
            }

            /// Lets `step` take each kind.
            pub(super) fn each(&self, held: &Sections, step: &mut impl Step) -> Result<(), Refusal> {
                $(step.take(&held.$field, &self.$field)?;)*
                Ok(())
            }

            /// Links the changed entities, and applies all changes to `next`.
            pub(super) fn apply(&mut self, next: &mut Sections) -> Result<(), Refusal> {
                $(
                    let mut batch: Vec<_> = self.$field.values_mut().flatten().collect();
                    <$compiled>::link(&mut batch, &next.parts())?;
                    let settings = next.settings();
                    Store::apply(&mut next.$field, &self.$field, settings)?;
                )*
                Ok(())
            }
        }

        /// What messages call an entity of the kind.
        pub(super) fn noun(kind: Kind) -> &'static str {
            match kind {
                $(model::$entity::KIND => <model::$entity as Entity>::NOUN,)*
                _ => "entity",
            }
        }
    };
}

// A kind that holds parts of others, or depends on settings, comes after them.
sections! {
    routers: Routers, of Router, from Router;
    certificates: Map<CertifiedKeys, ById>, of CertifiedKeys, from Certificate;
    authorities: Map<Authority, ById>, of Authority, from CaCertificate;
    snis: Names<Sni>, of Sni, from Sni;
    services: Map<Service, ById>, of Service, from Service;
    routes: Routes, of Entry, from Route;
    upstreams: Map<Upstream, ById>, of Upstream, from Upstream;
    targets: ByOwner<Target>, of Target, from Target;
    target_states: Map<Declared<TargetState>, ById>, of Declared<TargetState>, from TargetState;
    target_health: ByOwner<TargetHealth>, of TargetHealth, from TargetHealth;
    consumers: Names<Consumer>, of Consumer, from Consumer;
    key_auths: KeyAuths, of KeyAuthCredential, from KeyAuthCredential;
    basic_auths: Names<BasicAuthCredential>, of BasicAuthCredential, from BasicAuthCredential;
    jwts: Names<JwtSecret>, of JwtSecret, from JwtSecret;
    hmac_auths: Names<HmacAuthCredential>, of HmacAuthCredential, from HmacAuthCredential;
    acls: ByOwner<Acl>, of Acl, from Acl;
    plugins: Map<Instance, ById>, of Instance, from Plugin;
    hash_keys: Map<HashKey, ById>, of HashKey, from HashKey;
    cache_purges: Map<Declared<CachePurge>, ById>, of Declared<CachePurge>, from CachePurge;
}

impl Plan {
    /// The orders to remove answers that are kept.
    pub(super) fn purges(&self) -> impl Iterator<Item = &Arc<Declared<CachePurge>>> {
        self.cache_purges.values().flatten()
    }

    /// The upstreams whose groups the changes concern, themselves or by their targets.
    pub(super) fn upstreams(&self, held: &Sections, next: &Sections) -> BTreeSet<Uuid> {
        let mut found: BTreeSet<_> = self.upstreams.keys().copied().collect();
        let mut targets: BTreeSet<_> =
            self.targets.keys().chain(self.target_states.keys()).copied().collect();
        for sections in [held, next] {
            let operations = self.target_health.keys().filter_map(|id| sections.target_health.get(id));
            targets.extend(operations.map(|operation| operation.owner()));
        }
        for sections in [held, next] {
            let targets = targets.iter().filter_map(|id| sections.targets.get(id));
            found.extend(targets.map(|target| target.owner()));
        }
        found
    }
}

impl Plan {
    /// The instances of plugins that change, before and after.
    pub(super) fn instances(&self, held: &Sections) -> Vec<InstanceChange> {
        self.plugins.iter().map(|(id, after)| (held.plugins.get(id).cloned(), after.clone())).collect()
    }

    /// Whether a consumer, or what one authenticates with, changes.
    pub(super) fn changes_directory(&self) -> bool {
        !(self.consumers.is_empty()
            && self.key_auths.is_empty()
            && self.basic_auths.is_empty()
            && self.jwts.is_empty()
            && self.hmac_auths.is_empty()
            && self.acls.is_empty()
            && self.hash_keys.is_empty())
    }

    /// Notes at consumers that they change, once nothing can fail any more.
    pub(super) fn supersede(&self, held: &Sections) {
        let changed = self.consumers.keys().filter_map(|id| Store::get(&held.consumers, id));
        changed.for_each(|consumer| consumer.supersede());
    }

    /// The routes that change.
    pub(super) fn routes(&self) -> Vec<Uuid> {
        self.routes.keys().copied().collect()
    }
}

impl Sections {
    /// The consumers, and what they authenticate with.
    pub(super) fn directory(&self) -> Directory {
        let mut hasher = None;
        self.hash_keys.each(|key| hasher = Some(key.hasher.clone()));
        Directory {
            consumers: self.consumers.clone(),
            key_auths: self.key_auths.clone(),
            basic_auths: self.basic_auths.clone(),
            jwts: self.jwts.clone(),
            hmac_auths: self.hmac_auths.clone(),
            acls: self.acls.clone(),
            hasher,
        }
    }

    /// The service of a route.
    pub(super) fn service_of(&self, route: &Uuid) -> Option<Uuid> {
        Store::get(&self.routes, route)?.service_id()
    }

    fn settings(&self) -> Settings {
        Settings { order: self.routers.order() }
    }

    fn parts(&self) -> Parts<'_> {
        let Self { certificates, authorities, consumers, .. } = self;
        Parts { certificates, authorities, consumers }
    }
}
