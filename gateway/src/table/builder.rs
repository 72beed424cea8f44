//! The updater's side of a table: applies changes, all of them or none.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{CachePurge, Entity};
use uuid::Uuid;
use wire::Key;

use super::Table;
use super::change::Change;
use super::sections::{Plan, Sections, Step, noun};
use crate::plugin::InstanceChange;
use crate::section::{Changes, Declared, ReferenceChanges, Referrers, Refusal, Section, Store};
use crate::upstream::Balancing;

/// Builds tables. It holds the newest one, and the index that lookups do not need.
#[derive(Debug, Default)]
pub struct Builder {
    pub(super) table: Table,
    pub(super) referrers: Referrers,
    balancing: Arc<Balancing>,
    /// The upstreams whose groups were made again or removed since they were last asked for.
    changed_groups: BTreeSet<Uuid>,
    /// Orders that came since they were last asked for.
    purges: Vec<Arc<Declared<CachePurge>>>,
}

impl Builder {
    /// A builder whose table is empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder whose table is empty, and whose groups share `balancing`.
    pub fn with(balancing: Arc<Balancing>) -> Self {
        Self { balancing, ..Self::default() }
    }

    /// The upstreams whose groups were made again or removed since the last call.
    pub fn take_changed_groups(&mut self) -> BTreeSet<Uuid> {
        std::mem::take(&mut self.changed_groups)
    }

    /// The orders to remove kept answers that came since the last call.
    pub fn take_purges(&mut self) -> Vec<Arc<Declared<CachePurge>>> {
        std::mem::take(&mut self.purges)
    }

    /// The upstreams of the newest table.
    pub fn groups(&self) -> Vec<Uuid> {
        self.table.groups.ids()
    }

    /// Applies `changes` and returns the resulting table. The changes count as one: only their result
    /// matters, not their order, except that the last of several on one entity wins.
    ///
    /// # Errors
    /// The first problem; nothing has changed then.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<Table, Refusal> {
        self.apply_each(changes.into_iter().map(Ok))
    }

    /// Does the same as [`Builder::apply`] for changes that are made one by one, and may fail to be made. The
    /// input of a change takes several times the memory of its result.
    ///
    /// # Errors
    /// The first problem; nothing has changed then.
    pub fn apply_each<E: From<Refusal>>(
        &mut self,
        changes: impl Iterator<Item = Result<Change, E>>,
    ) -> Result<Table, E> {
        let mut plan = Plan::default();
        for change in changes {
            match change? {
                Change { entity: Some(entity), .. } => plan.put(entity)?,
                Change { key, entity: None } => plan.remove(key),
            }
        }
        let held = &self.table.sections;
        plan.each(held, &mut NothingMissing { plan: &plan, held })?;
        let mut references = ReferenceChanges::default();
        plan.each(held, &mut references)?;
        let referrers = &self.referrers;
        plan.each(held, &mut NothingLeft { plan: &plan, held, referrers, references: &references })?;
        plan.follow(held, &self.referrers);
        let mut next = self.table.clone();
        plan.apply(&mut next.sections)?;
        let upstreams = plan.upstreams(held, &next.sections);
        let purges: Vec<_> = plan.purges().cloned().collect();
        let (instances, routes) = (plan.instances(held), plan.routes());
        let has_other_directory = plan.changes_directory();
        plan.supersede(held);
        // Before the index grows: the plan of a large snapshot is large.
        drop(plan);
        self.referrers.apply(references);
        // Last: nothing fails from here on.
        next.rebuild_plugins(&instances, routes, has_other_directory);
        next.groups.rebuild(&upstreams, &next.sections, &self.balancing);
        self.changed_groups.extend(upstreams);
        self.purges.extend(purges);
        self.table = next;
        Ok(self.table.clone())
    }
}

impl Table {
    /// Makes the chains and the directory again that the changes concern.
    fn rebuild_plugins(
        &mut self,
        instances: &[InstanceChange],
        routes: Vec<Uuid>,
        has_other_directory: bool,
    ) {
        let Self { sections, plugins, .. } = self;
        if instances.is_empty() && !has_other_directory && !plugins.has_of_routes() {
            return;
        }
        let plugins = Arc::make_mut(plugins);
        plugins.apply(instances, routes.into_iter(), |route| sections.service_of(route));
        if has_other_directory {
            plugins.set_directory(sections.directory());
        }
    }
}

/// Checks that entities which are put name nothing that will not exist.
struct NothingMissing<'a> {
    plan: &'a Plan,
    held: &'a Sections,
}

impl Step for NothingMissing<'_> {
    fn take<T: Section>(&mut self, _: &impl Store<T>, changes: &Changes<T>) -> Result<(), Refusal> {
        for put in changes.values().flatten() {
            let will_exist = |key| self.plan.keeps(key).unwrap_or_else(|| self.held.holds(key));
            if let Some(named) = put.references().iter().find(|named| !will_exist(named.to)) {
                let (by, to) = (put.key(), named.to);
                let message = format!("names the {} {}, which does not exist", noun(to.kind), to.id);
                return Err(Refusal::new(by, named.field(by.kind), message));
            }
        }
        Ok(())
    }
}

/// Checks that no unchanged entity names one that is removed.
struct NothingLeft<'a> {
    plan: &'a Plan,
    held: &'a Sections,
    referrers: &'a Referrers,
    references: &'a ReferenceChanges,
}

impl Step for NothingLeft<'_> {
    fn take<T: Section>(&mut self, held: &impl Store<T>, changes: &Changes<T>) -> Result<(), Refusal> {
        let removed = changes.iter().filter(|(_, put)| put.is_none());
        for removed in removed.filter_map(|(id, _)| held.get(id)) {
            let key = removed.key();
            // None of the entities that change names it: it will not exist.
            if self.referrers.count_after(self.references, key) > 0
                && let Some(by) = self.unchanged_referrer(key)?
            {
                let message =
                    format!("is removed while the {} {} still names it", noun(by.kind), self.held.label(by));
                return Err(Refusal::new(key, None, message));
            }
        }
        Ok(())
    }
}

impl NothingLeft<'_> {
    fn unchanged_referrer(&self, named: Key) -> Result<Option<Key>, Refusal> {
        let mut search = UnchangedReferrer { named, first: None };
        self.plan.each(self.held, &mut search)?;
        Ok(search.first)
    }
}

/// Searches all entities for the first one that names another one and does not change. That takes as long as
/// there are entities, and is needed for a refusal alone.
struct UnchangedReferrer {
    named: Key,
    first: Option<Key>,
}

impl Step for UnchangedReferrer {
    fn take<T: Section>(&mut self, held: &impl Store<T>, changes: &Changes<T>) -> Result<(), Refusal> {
        held.each(|entity| {
            let names_it = entity.references().iter().any(|named| named.to == self.named);
            if names_it && !changes.contains_key(entity.id()) {
                let key = entity.key();
                self.first = Some(self.first.map_or(key, |first| first.min(key)));
            }
        });
        Ok(())
    }
}

/// Collects the changes of the index.
impl Step for ReferenceChanges {
    fn take<T: Section>(&mut self, held: &impl Store<T>, changes: &Changes<T>) -> Result<(), Refusal> {
        for (id, put) in changes {
            let by = Key { kind: T::Entity::KIND, id: *id };
            self.add(by, held.get(id).as_deref(), put.as_deref());
        }
        Ok(())
    }
}
