//! The target and the host that the upstream is asked for.

use std::borrow::Cow;
use std::sync::Arc;

use super::Canonical;
use crate::client::Request;
use crate::route::Entry;
use crate::section::Service;

/// Where a request is sent.
#[derive(Clone, Debug)]
pub struct Target {
    /// The route.
    pub route: Arc<Entry>,
    /// The route's service.
    pub service: Arc<Service>,
    /// How many bytes of the canonical path the route matched.
    pub matched: usize,
}

/// The canonical path, joined with the service's, and the query as received.
pub(crate) fn upstream_target(request: &Request, canonical: &Canonical, target: &Target) -> Vec<u8> {
    let mut joined = model::upstream_path(
        target.route.path_handling,
        target.route.strip_path,
        &target.service.path,
        canonical.path(request),
        target.matched,
    )
    .into_bytes();
    if let Some(query) = canonical.query(request) {
        joined.reserve_exact(1 + query.len());
        joined.push(b'?');
        joined.extend_from_slice(query);
    }
    joined
}

/// The host that the upstream is asked for, with its port: the client's if the route preserves it.
pub(crate) fn upstream_host<'r>(
    request: &'r Request,
    canonical: &Canonical,
    target: &'r Target,
) -> Cow<'r, [u8]> {
    let own = Cow::Borrowed(target.service.authority.as_bytes());
    if !target.route.preserve_host {
        return own;
    }
    match (canonical.authority(), &request.authority) {
        (Some(authority), _) => Cow::Owned(authority.as_bytes().to_vec()),
        (None, Some(sent)) => Cow::Borrowed(&**sent),
        // HTTP/1.0 may come without a host, and is forwarded as HTTP/1.1, which requires one.
        (None, None) => own,
    }
}
