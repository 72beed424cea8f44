//! The groups of one configuration: each upstream with its targets. A change makes the groups of the upstreams
//! that it concerns again, and no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{AdminState, TargetState};
use uuid::Uuid;

use super::sections::Sections;
use crate::section::{KeyOf, Map, Target};
use crate::upstream::balancer::State;
use crate::upstream::{Balancing, Group, GroupTarget, instant_of};

/// The groups of one configuration. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    by_id: Map<Group, ById>,
    by_name: Map<Group, ByName>,
}

/// Keys a map by the ids of upstreams.
#[derive(Clone, Copy, Debug)]
struct ById;

/// Keys a map by the names of upstreams.
#[derive(Clone, Copy, Debug)]
struct ByName;

impl KeyOf<Group> for ById {
    type Key = Uuid;

    fn key(value: &Group) -> &Uuid {
        &value.terms().id
    }
}

impl KeyOf<Group> for ByName {
    type Key = str;

    fn key(value: &Group) -> &str {
        &value.terms().name
    }
}

impl Groups {
    /// The group of the upstream with this name, in lower case.
    pub(super) fn named(&self, name: &str) -> Option<&Arc<Group>> {
        if self.by_name.is_empty() { None } else { self.by_name.get(name) }
    }

    /// The group of an upstream.
    pub(super) fn get(&self, upstream: &Uuid) -> Option<&Arc<Group>> {
        self.by_id.get(upstream)
    }

    /// The ids of all upstreams.
    pub(super) fn ids(&self) -> Vec<Uuid> {
        let mut ids = Vec::with_capacity(self.by_id.len());
        self.by_id.each(|group| ids.push(group.id()));
        ids
    }

    /// Makes the groups of these upstreams again.
    pub(super) fn rebuild(&mut self, upstreams: &BTreeSet<Uuid>, sections: &Sections, balancing: &Balancing) {
        let before: Vec<_> = upstreams.iter().map(|id| self.by_id.remove(id)).collect();
        for group in before.iter().flatten() {
            self.by_name.remove(&group.terms().name);
        }
        for (id, earlier) in upstreams.iter().zip(before) {
            let Some(upstream) = sections.upstreams.get(id) else { continue };
            let targets = sections.targets.of(id).iter().map(|target| with_operations(target, sections));
            let earlier = earlier.or_else(|| balancing.live_group(id));
            let group = balancing.group(upstream.terms.clone(), targets.collect(), earlier.as_deref());
            self.by_id.insert(group.clone());
            self.by_name.insert(group);
        }
    }
}

fn with_operations(target: &Arc<Target>, sections: &Sections) -> GroupTarget {
    let id = &target.terms.id;
    GroupTarget {
        terms: target.terms.clone(),
        state: sections.target_states.get(id).map_or(State::Ready, |state| state_of(&state.entity)),
        operations: sections.target_health.of(id).iter().map(|health| health.operation.clone()).collect(),
    }
}

fn state_of(set: &TargetState) -> State {
    let until = set.until.map(instant_of);
    match set.state {
        AdminState::Ready => State::Ready,
        AdminState::Drain => State::Drain { until },
        AdminState::Maint => State::Maint { until },
    }
}
