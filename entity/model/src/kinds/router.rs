//! The settings of the router, which all data planes of the cluster share.

use model_derive::Record;
use serde::Deserialize;
use uuid::Uuid;
use wire::Kind;

use super::kind;
use crate::entity::Entity;
use crate::record::Check;
use crate::router_order::RouterOrder;

/// The settings of the router. A configuration has at most one. Its canonical bytes follow the rules of a
/// [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Record)]
#[serde(default)]
pub struct Router {
    /// Identity; taken from the record's key.
    #[serde(skip)]
    #[field(skip)]
    pub id: Uuid,
    /// The order in which the routes that match a request are preferred.
    #[field(default = RouterOrder::Strict)]
    pub order: RouterOrder,
}

impl Check for Router {}

impl Entity for Router {
    const KIND: Kind = kind::ROUTER;
    const COLLECTION: &'static str = "routers";

    fn set_id(&mut self, id: Uuid) {
        self.id = id;
    }
}
