//! The table: the compiled entities of one configuration, of every kind. It never changes. A [`Builder`]
//! makes the next table from the one before and shares the unchanged parts. The work is therefore in
//! proportion to the change.

mod builder;
mod change;
mod groups;
mod sections;

use std::sync::Arc;

use uuid::Uuid;

use crate::certified_keys::CertifiedKeys;
use crate::plugin::Plugins;
use crate::route::{Match, Request};
use crate::section;
use crate::upstream::Group;

pub use builder::Builder;
pub use change::Change;

use groups::Groups;
use sections::Sections;

/// Every entity of one configuration, compiled. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Table {
    sections: Sections,
    groups: Groups,
    plugins: Arc<Plugins>,
}

impl Table {
    /// The matching route with the highest priority. Allocates nothing.
    pub fn lookup(&self, request: &Request<'_>) -> Option<Match> {
        self.sections.routes.lookup(request, &self.sections.services)
    }

    /// Whether an upstream may read the request's path as one that leads to another route than `found`, the
    /// route of the request.
    pub fn has_another_reading(&self, request: &Request<'_>, found: &Match) -> bool {
        let leads_elsewhere = |path: &String| {
            let other = self.lookup(&Request { path, ..*request });
            other.is_none_or(|other| other.route.id != found.route.id)
        };
        model::other_readings(request.path).iter().any(leads_elsewhere)
    }

    /// The certificate for a server name in lower case.
    pub fn certificate(&self, server_name: &str) -> Option<&Arc<CertifiedKeys>> {
        let id = section::find(&self.sections.snis, server_name)?.certificate()?;
        self.sections.certificates.get(&id)
    }

    /// The targets of the upstream with this name, in lower case.
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.named(name)
    }

    /// The targets of an upstream.
    pub fn group_of(&self, upstream: &Uuid) -> Option<&Arc<Group>> {
        self.groups.get(upstream)
    }

    /// The plugins, and the consumers.
    pub fn plugins(&self) -> &Arc<Plugins> {
        &self.plugins
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.sections.routes.len()
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
