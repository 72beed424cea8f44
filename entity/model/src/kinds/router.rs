//! The settings of the router, which all data planes of the cluster share.

use model_derive::Record;
use uuid::Uuid;
use wire::Kind;

use crate::kind;
use crate::entity::Entity;
use crate::record::Check;
use crate::router_order::RouterOrder;

/// The settings of the router. A configuration has at most one. Its canonical bytes follow the rules of a
/// [`crate::Service`].
#[derive(Clone, Debug, PartialEq, Eq, Record)]
pub struct Router {
    /// Identity; taken from the record's key.
    #[field(skip)]
    pub id: Uuid,
    /// The name by which a path may name it.
    #[field(default = Router::NAME.to_owned(), unique, is = Router::check_name)]
    pub name: String,
    /// The order in which the routes that match a request are preferred.
    #[field(default = RouterOrder::Strict)]
    pub order: RouterOrder,
}

impl Router {
    /// The only name: no other router can stand beside one that has it.
    const NAME: &str = "default";

    fn check_name(name: &str) -> Result<(), String> {
        if name == Self::NAME { Ok(()) } else { Err(format!("expected one of: {}", Self::NAME)) }
    }
}

impl Check for Router {}

impl Entity for Router {
    const KIND: Kind = kind::ROUTER;
    const NOUN: &'static str = "router";

    const ENDPOINT_KEY: Option<&'static str> = Some("name");
}
