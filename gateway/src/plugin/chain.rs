//! The plugins of one route, in the order in which they run.

use std::sync::Arc;

use uuid::Uuid;

use super::Phases;
use super::instance::Instance;

/// The plugins of one route, in the order in which they run. It never changes.
#[derive(Debug, Default)]
pub struct Chain {
    slots: Box<[Slot]>,
    phases: Phases,
}

/// A plugin of a chain: the one instance that runs is chosen when its turn comes.
#[derive(Debug)]
pub struct Slot {
    name: &'static str,
    /// The instance for requests of any consumer.
    base: Option<Arc<Instance>>,
    /// Whether some consumers have instances of their own.
    is_of_consumers: bool,
}

/// The instances that are for one consumer.
#[derive(Clone, Debug, Default)]
pub struct OfConsumer {
    /// The consumer.
    pub consumer: Uuid,
    /// Its instances, of whatever route and service.
    pub all: Vec<Arc<Instance>>,
}

/// That some consumers have instances of a plugin of their own.
#[derive(Clone, Debug)]
pub(super) struct Marker {
    pub(super) name: &'static str,
    priority: i32,
    phases: Phases,
}

impl Marker {
    pub(super) fn of(instance: &Instance) -> Self {
        Self { name: instance.terms.name, priority: instance.priority, phases: instance.phases }
    }
}

/// Instances for any consumer, and what is known of those for single ones.
type Parts<'p> = (&'p [Arc<Instance>], &'p [(Marker, usize)]);

impl Chain {
    /// Makes the chain for requests of a route and a service out of the instances that may be for them.
    pub(super) fn new<const N: usize>(
        parts: [Parts<'_>; N],
        route: Option<Uuid>,
        service: Option<Uuid>,
    ) -> Self {
        let mut slots: Vec<(Marker, Slot)> = Vec::new();
        let mut phases = Phases::NONE;
        let mut slot = |marker: Marker| -> usize {
            phases = phases.with(marker.phases);
            let at = slots.iter().position(|(other, _)| other.name == marker.name);
            at.unwrap_or_else(|| {
                let slot = Slot { name: marker.name, base: None, is_of_consumers: false };
                slots.push((marker, slot));
                slots.len() - 1
            })
        };
        let mut bases = Vec::new();
        let mut marked = Vec::new();
        for (all, of_consumers) in parts {
            let fitting = all.iter().filter(|instance| instance.runs_for(route, service));
            bases.extend(fitting.map(|instance| (slot(Marker::of(instance)), instance)));
            marked.extend(of_consumers.iter().map(|(marker, _)| slot(marker.clone())));
        }
        for (at, instance) in bases {
            let base = &mut slots[at].1.base;
            if base.as_ref().is_none_or(|base| base.rank() < instance.rank()) {
                *base = Some(instance.clone());
            }
        }
        marked.into_iter().for_each(|at| slots[at].1.is_of_consumers = true);
        // Kong's order: by priority, then by name, both descending.
        slots.sort_by_key(|(marker, _)| std::cmp::Reverse((marker.priority, marker.name)));
        Self { slots: slots.into_iter().map(|(_, slot)| slot).collect(), phases }
    }

    /// The plugins, in the order in which they run.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether no plugin runs.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The phases in which any instance does something.
    pub fn phases(&self) -> Phases {
        self.phases
    }
}

impl Slot {
    /// The instance for any consumer.
    pub fn base(&self) -> Option<&Arc<Instance>> {
        self.base.as_ref()
    }

    /// The instance of a consumer's own that runs for a request in place of the one for any consumer: the most
    /// specific one runs, of Kong's eight ranks.
    pub fn own<'o>(
        &self,
        of_consumer: &'o OfConsumer,
        route: Option<Uuid>,
        service: Option<Uuid>,
    ) -> Option<&'o Arc<Instance>> {
        let own = of_consumer.all.iter().filter(|instance| instance.terms.name == self.name);
        let own = own.filter(|instance| instance.runs_for(route, service));
        let own = own.max_by_key(|instance| instance.rank())?;
        let is_first = self.base.as_ref().is_none_or(|base| base.rank() <= own.rank());
        is_first.then_some(own)
    }

    /// Whether some consumers have instances of their own.
    pub fn is_of_consumers(&self) -> bool {
        self.is_of_consumers
    }
}
