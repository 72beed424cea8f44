//! Certificates by server name, and the authorities that verify peers.
//!
//! They change seldom and are few beside routes: a change of one copies the maps of all.

use model::Entity;
use std::collections::HashMap;
use std::sync::Arc;

use model::{CaCertificate, Certificate, Sni};
use uuid::Uuid;

use super::host::HostPattern;
use super::{Refusal, Service};
use crate::certified_keys::CertifiedKeys;

/// The certificates of one configuration, ready for handshakes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    shared: Arc<CertificateMaps>,
}

#[derive(Clone, Debug, Default)]
struct CertificateMaps {
    certificates: HashMap<Uuid, Arc<CertifiedKeys>>,
    authorities: HashMap<Uuid, Arc<CaCertificate>>,
    snis: HashMap<Uuid, Sni>,
    /// The certificates of the server names, by the keys of [`HostPattern`].
    names: HashMap<Box<str>, Arc<CertifiedKeys>>,
}

/// Changes by entity; `None` is removed.
#[derive(Default)]
pub(super) struct Changes {
    certificates: HashMap<Uuid, Option<Arc<CertifiedKeys>>>,
    pub(super) snis: HashMap<Uuid, Option<Sni>>,
    pub(super) authorities: HashMap<Uuid, Option<CaCertificate>>,
}

impl Certificates {
    /// The certificate for a server name in lower case. The name itself comes first, then `*.` in place of
    /// its first label, then `.*` in place of its last one, then any name. A wildcard stands for one label,
    /// as in certificates (RFC 9525, section 6.3).
    pub fn by_name(&self, server_name: &str) -> Option<&Arc<CertifiedKeys>> {
        let name = server_name.strip_suffix('.').unwrap_or(server_name);
        let suffix = || self.shared.names.get(&name[name.find('.')?..]);
        let prefix = || self.shared.names.get(&name[..=name.rfind('.')?]);
        // The pattern for any name is empty without its star.
        self.shared.names.get(name).or_else(suffix).or_else(prefix).or_else(|| self.shared.names.get(""))
    }

    /// The certificate `id`.
    pub fn certificate(&self, id: Uuid) -> Option<&Arc<CertifiedKeys>> {
        self.shared.certificates.get(&id)
    }

    /// The CA certificate `id`.
    pub fn authority(&self, id: Uuid) -> Option<&Arc<CaCertificate>> {
        self.shared.authorities.get(&id)
    }

    /// The certificates after `changes`.
    ///
    /// # Errors
    /// When a server name would exist twice, or without its certificate.
    pub(super) fn with(&self, changes: &Changes) -> Result<Self, Refusal> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let mut next = CertificateMaps::clone(&self.shared);
        merge(&mut next.certificates, &changes.certificates, Arc::clone);
        merge(&mut next.authorities, &changes.authorities, |put| Arc::new(put.clone()));
        merge(&mut next.snis, &changes.snis, Clone::clone);
        next.names = next.by_names(changes)?;
        Ok(Self { shared: Arc::new(next) })
    }
}

impl CertificateMaps {
    fn by_names(&self, changes: &Changes) -> Result<HashMap<Box<str>, Arc<CertifiedKeys>>, Refusal> {
        let mut names = HashMap::with_capacity(self.snis.len());
        for sni in self.snis.values() {
            let certificate = self.certificates.get(&sni.certificate).ok_or_else(|| missing(sni, changes))?;
            let HostPattern { key, .. } = HostPattern::new(&sni.name);
            if names.insert(key, Arc::clone(certificate)).is_some() {
                let message = format!("another one has the name {}, too", sni.name);
                return Err(Refusal::new(model::Sni::key(sni.id), Some("name"), message));
            }
        }
        Ok(names)
    }
}

impl Changes {
    pub(super) fn put_certificate(&mut self, put: &Certificate) -> Result<(), Refusal> {
        let key = model::Certificate::key(put.id);
        put.validate().map_err(|violations| Refusal::invalid(key, &violations))?;
        let keys =
            CertifiedKeys::parse(put).map_err(|(field, error)| Refusal::new(key, Some(field), error))?;
        self.certificates.insert(put.id, Some(Arc::new(keys)));
        Ok(())
    }

    pub(super) fn remove_certificate(&mut self, id: Uuid) {
        self.certificates.insert(id, None);
    }

    /// Whether something is removed that a service could name.
    pub(super) fn removes(&self) -> bool {
        self.certificates.values().any(Option::is_none) || self.authorities.values().any(Option::is_none)
    }

    /// Whether a service could find another certificate under an id that it names.
    pub(super) fn puts(&self) -> bool {
        self.certificates.values().any(Option::is_some) || self.authorities.values().any(Option::is_some)
    }

    /// Whether a certificate that `service` names changes.
    pub(super) fn touches(&self, service: &Service) -> bool {
        let named = |id| self.authorities.contains_key(id);
        service.client_certificate.is_some_and(|id| self.certificates.contains_key(&id))
            || service.ca_certificates.iter().any(named)
    }

    fn is_empty(&self) -> bool {
        self.certificates.is_empty() && self.snis.is_empty() && self.authorities.is_empty()
    }
}

/// Blames the certificate when it is removed while an older name stays; else the name.
fn missing(sni: &Sni, changes: &Changes) -> Refusal {
    let id = sni.certificate;
    if changes.certificates.contains_key(&id) && !changes.snis.contains_key(&sni.id) {
        let message = format!("is removed while the server name {} still names it", sni.name);
        return Refusal::new(model::Certificate::key(id), None, message);
    }
    let message = format!("names the certificate {id}, which does not exist");
    Refusal::new(model::Sni::key(sni.id), Some("certificate"), message)
}

fn merge<T, U>(held: &mut HashMap<Uuid, U>, changes: &HashMap<Uuid, Option<T>>, make: fn(&T) -> U) {
    for (id, change) in changes {
        match change {
            Some(put) => held.insert(*id, make(put)),
            None => held.remove(id),
        };
    }
}

#[cfg(test)]
mod tests;
