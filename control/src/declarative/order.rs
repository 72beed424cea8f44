//! Where the two orders of routes disagree, once a document is applied.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use model::{AnyEntity, Disagreement, Disagreements, Route, kind};
use uuid::Uuid;
use wire::{Key, Kind};

use super::difference::Difference;

/// The routes and services of a configuration, as canonical bytes by id.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    routes: BTreeMap<Uuid, Bytes>,
    services: BTreeMap<Uuid, Bytes>,
}

impl Routes {
    /// Adds an entity, if it is a route or a service.
    pub fn add(&mut self, key: Key, body: &Bytes) {
        self.of(key.kind).map(|all| all.insert(key.id, body.clone()));
    }

    /// Makes the changes of a document.
    pub fn change(&mut self, difference: &Difference) {
        for put in &difference.puts {
            self.of(put.kind)
                .map(|all| all.insert(put.common.id, Bytes::copy_from_slice(&put.content.bytes)));
        }
        for (key, _) in &difference.deletes {
            self.of(key.kind).map(|all| all.remove(&key.id));
        }
    }

    fn of(&mut self, kind: Kind) -> Option<&mut BTreeMap<Uuid, Bytes>> {
        match kind {
            kind::ROUTE => Some(&mut self.routes),
            kind::SERVICE => Some(&mut self.services),
            _ => None,
        }
    }

    /// Returns requests that the two orders lead to different routes, with the names of the routes.
    pub fn disagreements(&self) -> NamedDisagreements {
        // No request takes a route whose service is not served.
        let unserved: HashSet<Uuid> =
            self.services.iter().filter(|(_, bytes)| !is_served(bytes)).map(|(id, _)| *id).collect();
        let routes = self.routes.iter().filter_map(|(id, bytes)| parse(*id, bytes));
        let routes: Vec<Route> =
            routes.filter(|route| route.service.is_none_or(|service| !unserved.contains(&service))).collect();
        let name = |id: Uuid| {
            let route = routes.iter().find(|route| route.id == id);
            (id, route.and_then(|route| route.name.clone()))
        };
        let named = |found: Disagreement| NamedDisagreement {
            strict: name(found.strict),
            kong3: name(found.kong3),
            request: found.request,
        };
        let Disagreements { found, bounded } = model::disagreements(&routes);
        NamedDisagreements { found: found.into_iter().map(named).collect(), bounded }
    }
}

/// Where the two orders disagree.
#[derive(Clone, Debug, Default)]
pub struct NamedDisagreements {
    /// At most one for each pair of routes.
    pub found: Vec<NamedDisagreement>,
    /// Whether the search has ended at one of its bounds: there may be more.
    pub bounded: bool,
}

/// A request that the two orders lead to different routes, each given by its id and its name.
#[derive(Clone, Debug)]
pub struct NamedDisagreement {
    /// The route in the order `strict`.
    pub strict: (Uuid, Option<String>),
    /// The route in the order `kong3`.
    pub kong3: (Uuid, Option<String>),
    /// The request.
    pub request: model::SampleRequest,
}

fn parse(id: Uuid, bytes: &[u8]) -> Option<Route> {
    match model::described(kind::ROUTE)?.parse(id, bytes) {
        Ok(AnyEntity::Route(route)) => Some(route),
        _ => None,
    }
}

fn is_served(service: &[u8]) -> bool {
    let parsed = model::described(kind::SERVICE).and_then(|kind| kind.parse(Uuid::nil(), service).ok());
    !matches!(parsed, Some(AnyEntity::Service(service)) if !service.is_served())
}
