//! The settings of the router.

use std::sync::Arc;

use model::RouterOrder;
use uuid::Uuid;

use super::{ById, Changes, Map, References, Refusal, Section, Settings, Store};

/// The settings of the router.
#[derive(Clone, Debug)]
pub struct Router {
    id: Uuid,
    order: RouterOrder,
}

/// The settings of the router, if a configuration has them.
#[derive(Clone, Debug, Default)]
pub struct Routers {
    by_id: Map<Router, ById>,
    order: RouterOrder,
}

impl Routers {
    /// The order in which the routes that match a request are preferred.
    pub const fn order(&self) -> RouterOrder {
        self.order
    }
}

impl Section for Router {
    type Entity = model::Router;

    fn compile(router: &model::Router, _: References) -> Result<Self, Refusal> {
        Ok(Self { id: router.id, order: router.order })
    }

    fn id(&self) -> &Uuid {
        &self.id
    }
}

impl Store<Router> for Routers {
    fn get(&self, id: &Uuid) -> Option<Arc<Router>> {
        self.by_id.get(id).cloned()
    }

    fn each(&self, mut visit: impl FnMut(&Router)) {
        self.by_id.each(|router| visit(router));
    }

    fn apply(&mut self, changes: &Changes<Router>, settings: Settings) -> Result<(), Refusal> {
        self.by_id.apply(changes, settings)?;
        let put = changes.values().flatten().next();
        if let (Some(put), true) = (put, self.by_id.len() > 1) {
            return Err(Refusal::new(put.key(), None, "another one exists: a configuration has one at most"));
        }
        match put {
            Some(put) => self.order = put.order,
            None if self.by_id.is_empty() => self.order = RouterOrder::default(),
            None => {}
        }
        Ok(())
    }
}
