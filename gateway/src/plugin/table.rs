//! The plugins of one configuration: a chain for each route and service that has plugins of its own, and one
//! for all others. A change makes the chains that it concerns again, and no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::HeaderMap;
use uuid::Uuid;

use super::chain::{Chain, Marker, OfConsumer};
use super::directory::Directory;
use super::instance::Instance;
use super::key_prefetch::{KeyHeaders, KeyPrefetch};
use crate::section::{KeyOf, Map};

/// The plugins of one configuration, and its consumers. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub struct Plugins {
    global: Own,
    of_everything: Arc<Chain>,
    by_service: Map<Scoped, ScopedId>,
    by_route: Map<Scoped, ScopedId>,
    by_consumer: Map<OfConsumer, ConsumerId>,
    directory: Directory,
    key_headers: KeyHeaders,
}

/// An instance before and after a change.
pub type InstanceChange = (Option<Arc<Instance>>, Option<Arc<Instance>>);

/// A route or a service with instances of its own.
#[derive(Clone, Debug)]
struct Scoped {
    id: Uuid,
    own: Own,
    chain: Arc<Chain>,
}

/// The instances that a route, a service, or nothing of both limits.
#[derive(Clone, Debug, Default)]
struct Own {
    /// Those for any consumer.
    all: Vec<Arc<Instance>>,
    /// Those for single consumers, counted by plugin.
    of_consumers: Vec<(Marker, usize)>,
}

/// Keys a map by routes or services.
#[derive(Clone, Copy, Debug)]
struct ScopedId;

/// Keys a map by consumers.
#[derive(Clone, Copy, Debug)]
struct ConsumerId;

impl KeyOf<Scoped> for ScopedId {
    type Key = Uuid;

    fn key(value: &Scoped) -> &Uuid {
        &value.id
    }
}

impl KeyOf<OfConsumer> for ConsumerId {
    type Key = Uuid;

    fn key(value: &OfConsumer) -> &Uuid {
        &value.consumer
    }
}

impl Plugins {
    /// The chain of a route.
    pub fn chain(&self, route: &Uuid, service: Option<&Uuid>) -> &Arc<Chain> {
        if !self.by_route.is_empty()
            && let Some(scoped) = self.by_route.get(route)
        {
            return &scoped.chain;
        }
        let of_service = service.filter(|_| !self.by_service.is_empty());
        of_service.and_then(|id| self.by_service.get(id)).map_or(&self.of_everything, |scoped| &scoped.chain)
    }

    /// The chain of requests without a route.
    pub fn global(&self) -> &Arc<Chain> {
        &self.of_everything
    }

    /// Whether there is no plugin at all.
    pub fn is_empty(&self) -> bool {
        self.of_everything.is_empty() && self.by_service.is_empty() && self.by_route.is_empty()
    }

    /// Whether any route has instances of its own.
    pub fn has_of_routes(&self) -> bool {
        !self.by_route.is_empty()
    }

    /// The instances for one consumer.
    pub fn of_consumer(&self, consumer: &Uuid) -> Option<&OfConsumer> {
        self.by_consumer.get(consumer).map(|own| &**own)
    }

    /// The consumers and their credentials.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Begins to fetch the API key that a request shows in the header in which most plugins look.
    pub fn key_prefetch(&self, headers: &HeaderMap) -> Option<KeyPrefetch> {
        KeyPrefetch::of(self.key_headers.value(headers)?, &self.directory)
    }

    /// Takes other consumers and credentials.
    pub fn set_directory(&mut self, directory: Directory) {
        self.directory = directory;
    }

    /// Applies changes of instances, and of these routes. `service_of` is the service of a route now.
    pub fn apply(
        &mut self,
        changes: &[InstanceChange],
        routes: impl Iterator<Item = Uuid>,
        service_of: impl Fn(&Uuid) -> Option<Uuid>,
    ) {
        let mut dirty = Dirty::default();
        for (before, after) in changes {
            if let Some(before) = before {
                dirty.add(before);
                self.take(before);
            }
            if let Some(after) = after {
                dirty.add(after);
                self.put(after);
            }
        }
        dirty.routes.extend(routes.filter(|route| self.by_route.get(route).is_some()));
        if dirty.global {
            self.by_service.each(|scoped| dirty.services.extend([scoped.id]));
            self.by_route.each(|scoped| dirty.routes.extend([scoped.id]));
            self.of_everything = Arc::new(Chain::new([&self.global].map(Own::parts), None, None));
        } else if !dirty.services.is_empty() {
            let concerned = |route: &Uuid| service_of(route).is_some_and(|id| dirty.services.contains(&id));
            let mut more = Vec::new();
            self.by_route.each(|scoped| more.extend(Some(scoped.id).filter(concerned)));
            dirty.routes.extend(more);
        }
        self.rebuild(&dirty, service_of);
    }

    fn rebuild(&mut self, dirty: &Dirty, service_of: impl Fn(&Uuid) -> Option<Uuid>) {
        for id in &dirty.services {
            let Some(scoped) = self.by_service.get(id).cloned() else { continue };
            if scoped.own.is_empty() {
                self.by_service.remove(id);
                continue;
            }
            let chain = Chain::new([&self.global, &scoped.own].map(Own::parts), None, Some(*id));
            self.by_service.insert(Arc::new(Scoped { chain: Arc::new(chain), ..(*scoped).clone() }));
        }
        for id in &dirty.routes {
            let Some(scoped) = self.by_route.get(id).cloned() else { continue };
            if scoped.own.is_empty() {
                self.by_route.remove(id);
                continue;
            }
            let service = service_of(id);
            let of_service = service.and_then(|id| self.by_service.get(&id));
            let none = Own::default();
            let of_service = of_service.map_or(&none, |scoped| &scoped.own);
            let parts = [&self.global, of_service, &scoped.own].map(Own::parts);
            let chain = Chain::new(parts, Some(*id), service);
            self.by_route.insert(Arc::new(Scoped { chain: Arc::new(chain), ..(*scoped).clone() }));
        }
    }

    fn own(&mut self, instance: &Instance) -> &mut Own {
        let scoped = |id| move || Scoped { id, own: Own::default(), chain: Arc::default() };
        let scope = instance.terms.scope;
        match (scope.route, scope.service) {
            (Some(id), _) => &mut self.by_route.edit(&id, scoped(id)).own,
            (None, Some(id)) => &mut self.by_service.edit(&id, scoped(id)).own,
            (None, None) => &mut self.global,
        }
    }

    fn put(&mut self, instance: &Arc<Instance>) {
        self.own(instance).put(instance);
        self.key_headers.add(instance);
        if let Some(consumer) = instance.terms.scope.consumer {
            let of_consumer = self.by_consumer.edit(&consumer, || OfConsumer { consumer, all: Vec::new() });
            of_consumer.all.push(instance.clone());
        }
    }

    fn take(&mut self, instance: &Arc<Instance>) {
        self.own(instance).take(instance);
        self.key_headers.remove(instance);
        if let Some(consumer) = instance.terms.scope.consumer {
            let of_consumer = self.by_consumer.edit(&consumer, || OfConsumer { consumer, all: Vec::new() });
            of_consumer.all.retain(|other| other.terms.id != instance.terms.id);
            if of_consumer.all.is_empty() {
                self.by_consumer.remove(&consumer);
            }
        }
    }
}

/// What must be made again.
#[derive(Debug, Default)]
struct Dirty {
    global: bool,
    services: BTreeSet<Uuid>,
    routes: BTreeSet<Uuid>,
}

impl Dirty {
    fn add(&mut self, instance: &Instance) {
        let scope = instance.terms.scope;
        match (scope.route, scope.service) {
            (Some(route), _) => self.routes.extend([route]),
            (None, Some(service)) => self.services.extend([service]),
            (None, None) => self.global = true,
        }
    }
}

impl Own {
    fn parts(&self) -> (&[Arc<Instance>], &[(Marker, usize)]) {
        (&self.all, &self.of_consumers)
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.of_consumers.is_empty()
    }

    fn put(&mut self, instance: &Arc<Instance>) {
        if instance.terms.scope.consumer.is_none() {
            self.all.push(instance.clone());
            return;
        }
        let marker = Marker::of(instance);
        match self.of_consumers.iter_mut().find(|(other, _)| other.name == marker.name) {
            Some((_, count)) => *count += 1,
            None => self.of_consumers.push((marker, 1)),
        }
    }

    fn take(&mut self, instance: &Instance) {
        if instance.terms.scope.consumer.is_none() {
            self.all.retain(|other| other.terms.id != instance.terms.id);
            return;
        }
        for (_, count) in
            self.of_consumers.iter_mut().filter(|(marker, _)| marker.name == instance.terms.name)
        {
            *count -= 1;
        }
        self.of_consumers.retain(|(_, count)| *count > 0);
    }
}
