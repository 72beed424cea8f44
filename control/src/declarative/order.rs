//! Where the two orders of routes disagree, once a document is applied.

use std::collections::BTreeMap;

use bytes::Bytes;
use model::{AnyEntity, Disagreement, Disagreements, Route, kind};
use uuid::Uuid;
use wire::Key;

use super::difference::Difference;

/// The routes of a configuration, as canonical bytes by id.
#[derive(Clone, Debug, Default)]
pub struct Routes(BTreeMap<Uuid, Bytes>);

impl Routes {
    /// Adds an entity, if it is a route.
    pub fn add(&mut self, key: Key, body: &Bytes) {
        if key.kind == kind::ROUTE {
            self.0.insert(key.id, body.clone());
        }
    }

    /// Makes the changes of a document.
    pub fn change(&mut self, difference: &Difference) {
        for put in difference.puts.iter().filter(|put| put.kind == kind::ROUTE) {
            self.0.insert(put.common.id, Bytes::copy_from_slice(&put.content.bytes));
        }
        for (key, _) in difference.deletes.iter().filter(|(key, _)| key.kind == kind::ROUTE) {
            self.0.remove(&key.id);
        }
    }

    /// Returns requests that the two orders lead to different routes, with the names of the routes; and whether
    /// there may be more, since the search has ended at a bound.
    pub fn disagreements(&self) -> (Vec<NamedDisagreement>, bool) {
        let routes: Vec<Route> = self.0.iter().filter_map(|(id, bytes)| parse(*id, bytes)).collect();
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
        (found.into_iter().map(named).collect(), bounded)
    }
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
