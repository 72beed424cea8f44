//! The updater's side of a table: applies changes, all of them or none.

use model::Entity;
use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;
use wire::Key;

use super::entry::Entry;
use super::{Certificates, Refusal, Service, Table, certificates};
use crate::upstream::{Terms, Unusable, UpstreamTls};

/// Builds tables. It holds the newest one, and the data that lookups do not need.
#[derive(Debug, Default)]
pub struct Builder {
    table: Table,
    routes: HashMap<Uuid, Arc<Entry>>,
    services: HashMap<Uuid, ServiceEntry>,
    /// Slots of removed services.
    free: Vec<u32>,
}

/// One change of the configuration.
#[derive(Clone, Debug)]
pub enum Change {
    /// Put this service in place of the one with its id.
    PutService(model::Service),
    /// Put this route in place of the one with its id.
    PutRoute(model::Route),
    /// Put this certificate in place of the one with its id.
    PutCertificate(model::Certificate),
    /// Put this server name in place of the one with its id.
    PutSni(model::Sni),
    /// Put this CA certificate in place of the one with its id.
    PutCaCertificate(model::CaCertificate),
    /// Remove this service, if it is there.
    RemoveService(Uuid),
    /// Remove this route, if it is there.
    RemoveRoute(Uuid),
    /// Remove this certificate, if it is there.
    RemoveCertificate(Uuid),
    /// Remove this server name, if it is there.
    RemoveSni(Uuid),
    /// Remove this CA certificate, if it is there.
    RemoveCaCertificate(Uuid),
}

/// A service in the table.
#[derive(Clone, Copy, Debug)]
struct ServiceEntry {
    slot: u32,
    /// How many routes name the service.
    routes: usize,
}

/// Changes by entity, each valid by itself; `None` is removed. Of several changes to one entity, this has the
/// last.
#[derive(Default)]
struct BuildPlan {
    services: HashMap<Uuid, Option<Service>>,
    /// Not shared yet.
    routes: HashMap<Uuid, Option<Arc<Entry>>>,
    certificates: certificates::Changes,
}

impl Builder {
    /// A builder whose table is empty.
    pub fn new() -> Self {
        Self::default()
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
        let mut plan = BuildPlan::default();
        for change in changes {
            plan.push(change?)?;
        }
        self.check_references(&plan)?;
        let certificates = self.table.certificates.with(&plan.certificates)?;
        self.check_certificates(&plan, &certificates)?;
        self.set_trust(&mut plan, &certificates)?;
        self.commit(plan);
        self.table.certificates = certificates;
        Ok(self.table.clone())
    }

    /// Checks that every route names a service that will exist, and that no removed service is still named.
    fn check_references(&self, plan: &BuildPlan) -> Result<(), Refusal> {
        for (route, id) in
            plan.routes.values().flatten().filter_map(|route| Some((route, route.service_id()?)))
        {
            let stays = match plan.services.get(&id) {
                Some(put) => put.is_some(),
                None => self.services.contains_key(&id),
            };
            if !stays {
                let message = format!("names the service {id}, which does not exist");
                return Err(Refusal::new(model::Route::key(route.id), Some("service"), message));
            }
        }
        for (id, _) in plan.services.iter().filter(|(_, put)| put.is_none()) {
            let Some(held) = self.services.get(id) else { continue };
            let names =
                |route: &&Uuid| self.routes.get(route).is_some_and(|old| old.service_id() == Some(*id));
            if held.routes > plan.routes.keys().filter(names).count() {
                return Err(Refusal::new(
                    model::Service::key(*id),
                    None,
                    "is removed while routes still name it",
                ));
            }
        }
        Ok(())
    }

    /// Checks that the certificates that services name will exist. Unchanged services are checked only when a
    /// certificate is removed that they could name.
    fn check_certificates(&self, plan: &BuildPlan, next: &Certificates) -> Result<(), Refusal> {
        for service in plan.services.values().flatten() {
            if let Some((field, missing)) = missing(service, next) {
                let message = format!("names {missing}, which does not exist");
                return Err(Refusal::new(model::Service::key(service.id), Some(field), message));
            }
        }
        if !plan.certificates.removes() {
            return Ok(());
        }
        for (id, held) in self.services.iter().filter(|(id, _)| !plan.services.contains_key(id)) {
            let service = self.table.services.get(held.slot);
            if let Some((_, missing)) = service.and_then(|service| missing(service, next)) {
                let message = format!("is removed while the service {id} still names it");
                return Err(Refusal::new(missing, None, message));
            }
        }
        Ok(())
    }

    /// Sets the TLS terms of services from the certificates that they name. Includes unchanged services when
    /// a certificate of theirs changes. Services that name the same certificates share the terms.
    fn set_trust(&self, plan: &mut BuildPlan, next: &Certificates) -> Result<(), Refusal> {
        if plan.certificates.puts() {
            let others = self.services.iter().filter(|(id, _)| !plan.services.contains_key(id));
            let others = others.filter_map(|(_, held)| self.table.services.get(held.slot));
            let touched: Vec<_> =
                others.filter(|service| plan.certificates.touches(service)).cloned().collect();
            plan.services
                .extend(touched.into_iter().map(|service| (service.id, Some(Service::clone(&service)))));
        }
        let mut made = HashMap::new();
        for service in plan.services.values_mut().flatten().filter(|service| service.tls) {
            let names = (
                service.client_certificate,
                service.ca_certificates.clone(),
                service.tls_verify_depth,
                service.tls_verify,
            );
            let trust = match made.get(&names) {
                Some(trust) => Arc::clone(trust),
                None => made.entry(names).or_insert(trust(service, next)?).clone(),
            };
            let terms = Terms::tls(service.terms.protocol(), &service.host, &trust);
            let refusal = |error| Refusal::new(model::Service::key(service.id), Some("host"), error);
            service.terms = Arc::new(terms.map_err(refusal)?);
        }
        Ok(())
    }

    fn commit(&mut self, plan: BuildPlan) {
        let mut removed = Vec::new();
        for (id, service) in plan.services {
            match service {
                Some(service) => self.put_service(service),
                None => removed.push(id),
            }
        }
        for (id, route) in plan.routes {
            self.take_route(id);
            if let Some(route) = route {
                self.put_route(route);
            }
        }
        for id in removed {
            self.take_service(id);
        }
    }

    fn put_service(&mut self, service: Service) {
        let next = self.services.len() as u32;
        let held = self.services.entry(service.id).or_insert_with(|| {
            // With no free slot, the used slots are 0 to the number of services.
            ServiceEntry { slot: self.free.pop().unwrap_or(next), routes: 0 }
        });
        self.table.services.set(held.slot, Some(Arc::new(service)));
    }

    fn take_service(&mut self, id: Uuid) {
        if let Some(held) = self.services.remove(&id) {
            self.table.services.set(held.slot, None);
            self.free.push(held.slot);
        }
    }

    fn put_route(&mut self, mut route: Arc<Entry>) {
        if let Some(Entry { service: Some((id, slot)), .. }) = Arc::get_mut(&mut route)
            && let Some(held) = self.services.get_mut(id)
        {
            *slot = held.slot;
            held.routes += 1;
        }
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

impl BuildPlan {
    fn push(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::PutService(service) => {
                self.services.insert(service.id, Some(check_service(&service)?));
            }
            Change::PutRoute(route) => {
                self.routes.insert(route.id, Some(Arc::new(check_route(&route)?)));
            }
            Change::PutCertificate(put) => self.certificates.put_certificate(&put)?,
            Change::PutSni(put) => {
                put.validate()
                    .map_err(|violations| Refusal::invalid(model::Sni::key(put.id), &violations))?;
                self.certificates.snis.insert(put.id, Some(put));
            }
            Change::PutCaCertificate(put) => {
                let key = model::CaCertificate::key(put.id);
                put.validate().map_err(|violations| Refusal::invalid(key, &violations))?;
                UpstreamTls::new(None, &[&put], None)?;
                self.certificates.authorities.insert(put.id, Some(put));
            }
            Change::RemoveCertificate(id) => self.certificates.remove_certificate(id),
            Change::RemoveSni(id) => {
                self.certificates.snis.insert(id, None);
            }
            Change::RemoveCaCertificate(id) => {
                self.certificates.authorities.insert(id, None);
            }
            Change::RemoveService(id) => {
                self.services.insert(id, None);
            }
            Change::RemoveRoute(id) => {
                self.routes.insert(id, None);
            }
        }
        Ok(())
    }
}

fn check_service(service: &model::Service) -> Result<Service, Refusal> {
    let key = model::Service::key(service.id);
    service.validate().map_err(|violations| Refusal::invalid(key, &violations))?;
    Service::new(service).ok_or_else(|| Refusal::new(key, Some("host"), "cannot stand in a Host header"))
}

/// A missing certificate that `service` names, and the field that names it.
fn missing(service: &Service, there: &Certificates) -> Option<(&'static str, Key)> {
    let client = service.client_certificate.filter(|id| there.certificate(*id).is_none());
    let authority = || service.ca_certificates.iter().find(|id| there.authority(**id).is_none());
    match client {
        Some(id) => Some(("client_certificate", model::Certificate::key(id))),
        None => authority().map(|id| ("ca_certificates", model::CaCertificate::key(*id))),
    }
}

/// The certificates that `service` trusts and shows.
fn trust(service: &Service, there: &Certificates) -> Result<Arc<UpstreamTls>, Unusable> {
    let shown = service.client_certificate.and_then(|id| there.certificate(id));
    if !service.tls_verify {
        let unverified = |keys| Arc::new(UpstreamTls::unverified(keys));
        return Ok(shown.map_or_else(|| UpstreamTls::common(false), unverified));
    }
    let believed: Vec<_> =
        service.ca_certificates.iter().filter_map(|id| there.authority(*id)).map(|arc| &**arc).collect();
    if shown.is_none() && believed.is_empty() && service.tls_verify_depth.is_none() {
        return Ok(UpstreamTls::common(true));
    }
    UpstreamTls::new(shown, &believed, service.tls_verify_depth).map(Arc::new)
}

fn check_route(route: &model::Route) -> Result<Entry, Refusal> {
    route.validate().map_err(|violations| Refusal::invalid(model::Route::key(route.id), &violations))?;
    Entry::compile(route)
}
