//! The updater's side of a table: applies changes, all of them or none.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;
use wire::{Key, Violations};

use super::entry::Entry;
use super::{Service, Table};

/// Makes tables. It holds the newest one, and what lookups have no use for.
#[derive(Debug, Default)]
pub struct Builder {
    table: Table,
    routes: HashMap<Uuid, Arc<Entry>>,
    services: HashMap<Uuid, Held>,
    /// Slots that removed services left behind.
    free: Vec<u32>,
}

/// One change of the configuration.
#[derive(Clone, Debug)]
pub enum Change {
    /// Put this service in place of what is under its id.
    PutService(wire::Service),
    /// Put this route in place of what is under its id.
    PutRoute(wire::Route),
    /// Remove this service, if it is there.
    RemoveService(Uuid),
    /// Remove this route, if it is there.
    RemoveRoute(Uuid),
}

/// Why changes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct Refusal {
    /// The entity that it is about.
    pub key: Key,
    /// The field that it is about, if it is about one.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// A service in the table.
#[derive(Clone, Copy, Debug)]
struct Held {
    slot: u32,
    /// How many routes name it.
    routes: usize,
}

/// Changes that have been found good. Nothing can fail from here on.
#[derive(Default)]
struct Plan {
    services: Vec<Service>,
    routes: Vec<Entry>,
    removed_routes: Vec<Uuid>,
    removed_services: Vec<Uuid>,
}

impl Builder {
    /// A builder whose table is empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies `changes` and returns the table that they lead to. They count as one: only what they come
    /// to in the end matters, not their order, except that the last of several on one entity wins.
    ///
    /// # Errors
    /// The first thing that is wrong; nothing has changed then.
    pub fn apply(&mut self, changes: Vec<Change>) -> Result<Table, Refusal> {
        let plan = check(last_of_each(changes))?;
        self.check_references(&plan)?;
        self.commit(plan);
        Ok(self.table.clone())
    }

    /// Every route names a service that will be there, and no removed service is named any longer.
    fn check_references(&self, plan: &Plan) -> Result<(), Refusal> {
        let put: HashMap<Uuid, ()> = plan.services.iter().map(|service| (service.id, ())).collect();
        for route in &plan.routes {
            let Some(id) = route.service_id() else { continue };
            let stays = self.services.contains_key(&id) && !plan.removed_services.contains(&id);
            if !stays && !put.contains_key(&id) {
                let message = format!("names the service {id}, which does not exist");
                return Err(Refusal::new(Key::route(route.id), Some("service"), message));
            }
        }
        for id in &plan.removed_services {
            let Some(held) = self.services.get(id) else { continue };
            let names =
                |route: &Uuid| self.routes.get(route).is_some_and(|old| old.service_id() == Some(*id));
            let gone = plan.routes.iter().map(|route| &route.id).chain(&plan.removed_routes);
            if held.routes > gone.filter(|route| names(route)).count() {
                return Err(Refusal::new(Key::service(*id), None, "is removed while routes still name it"));
            }
        }
        Ok(())
    }

    fn commit(&mut self, plan: Plan) {
        for service in plan.services {
            self.put_service(service);
        }
        for id in plan.removed_routes {
            self.take_route(id);
        }
        for route in plan.routes {
            self.take_route(route.id);
            self.put_route(route);
        }
        for id in plan.removed_services {
            self.take_service(id);
        }
    }

    fn put_service(&mut self, service: Service) {
        let next = self.services.len() as u32;
        let held = self.services.entry(service.id).or_insert_with(|| {
            // With no slot free, the slots taken are 0 to the number of services.
            Held { slot: self.free.pop().unwrap_or(next), routes: 0 }
        });
        self.table.services.set(held.slot, Some(Arc::new(service)));
    }

    fn take_service(&mut self, id: Uuid) {
        if let Some(held) = self.services.remove(&id) {
            self.table.services.set(held.slot, None);
            self.free.push(held.slot);
        }
    }

    fn put_route(&mut self, mut route: Entry) {
        if let Some((id, slot)) = &mut route.service
            && let Some(held) = self.services.get_mut(id)
        {
            *slot = held.slot;
            held.routes += 1;
        }
        let route = Arc::new(route);
        self.table.insert(&route);
        self.routes.insert(route.id, route);
    }

    fn take_route(&mut self, id: Uuid) {
        let Some(route) = self.routes.remove(&id) else { return };
        if let Some(service) = route.service_id()
            && let Some(held) = self.services.get_mut(&service)
        {
            held.routes -= 1;
        }
        self.table.remove(&route);
    }
}

impl Change {
    fn key(&self) -> Key {
        match self {
            Self::PutService(service) => Key::service(service.id),
            Self::PutRoute(route) => Key::route(route.id),
            Self::RemoveService(id) => Key::service(*id),
            Self::RemoveRoute(id) => Key::route(*id),
        }
    }
}

impl Refusal {
    pub(super) fn route(route: &wire::Route, field: &str, message: impl ToString) -> Self {
        Self::new(Key::route(route.id), Some(field), message)
    }

    fn new(key: Key, field: Option<&str>, message: impl ToString) -> Self {
        Self { key, field: field.map(str::to_owned), message: message.to_string() }
    }

    /// The first rule that is broken names the field; the message has them all.
    fn invalid(key: Key, violations: &Violations) -> Self {
        Self::new(key, violations.fields.keys().next().map(String::as_str), violations)
    }
}

fn last_of_each(changes: Vec<Change>) -> impl Iterator<Item = Change> {
    let last: HashMap<Key, usize> = changes.iter().map(Change::key).zip(0..).collect();
    changes
        .into_iter()
        .zip(0..)
        .filter(move |(change, at)| last[&change.key()] == *at)
        .map(|(change, _)| change)
}

/// Checks each change for itself.
fn check(changes: impl Iterator<Item = Change>) -> Result<Plan, Refusal> {
    let mut plan = Plan::default();
    for change in changes {
        let key = change.key();
        match change {
            Change::PutService(service) => plan.services.push(check_service(key, &service)?),
            Change::PutRoute(route) => plan.routes.push(check_route(key, &route)?),
            Change::RemoveService(id) => plan.removed_services.push(id),
            Change::RemoveRoute(id) => plan.removed_routes.push(id),
        }
    }
    Ok(plan)
}

fn check_service(key: Key, service: &wire::Service) -> Result<Service, Refusal> {
    service.validate().map_err(|violations| Refusal::invalid(key, &violations))?;
    Service::new(service).ok_or_else(|| Refusal::new(key, Some("host"), "cannot stand in a Host header"))
}

fn check_route(key: Key, route: &wire::Route) -> Result<Entry, Refusal> {
    route.validate().map_err(|violations| Refusal::invalid(key, &violations))?;
    Entry::compile(route)
}
