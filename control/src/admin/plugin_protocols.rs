//! The protocols of a plugin, which are those of its route, or of a route of its service.

use model::{AnyEntity, Protocol, Violations, kind};
use uuid::Uuid;
use wire::Kind;

use crate::error::ApiError;
use crate::store::{Draft, Page, Selector, Store, StoreError};

/// Routes that are read at once.
const PAGE: u64 = 500;

/// Checks that a plugin is for a protocol of its route, or of a route of its service, if it has any.
pub(super) async fn check(store: &Store, draft: &Draft) -> Result<(), ApiError> {
    let document = &draft.document;
    let Some(AnyEntity::Plugin(plugin)) = parse(kind::PLUGIN, document.key.id, &document.body) else {
        return Ok(());
    };
    let fits = |protocols: &[Protocol]| plugin.protocols.iter().any(|own| protocols.contains(&own.0));
    let message = match (plugin.route, plugin.service) {
        (Some(route), _) => {
            let protocols = protocols_of(store, route).await?;
            let missing = protocols.is_some_and(|protocols| !fits(&protocols));
            missing.then_some("must match the associated route's protocols")
        }
        (None, Some(service)) => (!fits_service(store, service, fits).await?)
            .then_some("must match the protocols of at least one route pointing to this Plugin's service"),
        (None, None) => None,
    };
    let Some(message) = message else { return Ok(()) };
    let mut violations = Violations::default();
    violations.field("protocols", message);
    Err(ApiError::Invalid(violations))
}

/// The protocols of a route; `None` when there is no such route.
async fn protocols_of(store: &Store, id: Uuid) -> Result<Option<Vec<Protocol>>, StoreError> {
    let found = store.get(kind::ROUTE, &Selector::Id(id)).await?;
    Ok(found.and_then(|document| protocols(id, &document.body)))
}

/// Whether a service has no route, or one whose protocols fit.
async fn fits_service(
    store: &Store,
    service: Uuid,
    fits: impl Fn(&[Protocol]) -> bool,
) -> Result<bool, StoreError> {
    let mut page = Page { size: PAGE, after: None, tags: None, of: Some(("service", service)) };
    let mut has_route = false;
    loop {
        let listed = store.list(kind::ROUTE, &page).await?;
        let mut routes = listed.documents.iter();
        if routes.any(|route| protocols(route.key.id, &route.body).is_some_and(|found| fits(&found))) {
            return Ok(true);
        }
        has_route |= !listed.documents.is_empty();
        page.after = listed.next;
        if page.after.is_none() {
            return Ok(!has_route);
        }
    }
}

fn protocols(id: Uuid, route: &[u8]) -> Option<Vec<Protocol>> {
    match parse(kind::ROUTE, id, route)? {
        AnyEntity::Route(route) => Some(route.protocols),
        _ => None,
    }
}

/// Reads canonical bytes; `None` for those that this version cannot read.
fn parse(kind: Kind, id: Uuid, bytes: &[u8]) -> Option<AnyEntity> {
    model::described(kind)?.parse(id, bytes).ok()
}
