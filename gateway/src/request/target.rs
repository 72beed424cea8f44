//! The target and the host that the upstream is asked for.

use std::borrow::Cow;
use std::sync::Arc;

use super::Canonical;
use crate::client::Request;
use crate::message::digits;
use crate::route::Entry;
use crate::section::Service;
use crate::upstream::{Group, Host};

/// Where a request is sent.
#[derive(Clone, Debug)]
pub struct Target {
    /// The route.
    pub route: Arc<Entry>,
    /// The route's service.
    pub service: Arc<Service>,
    /// The targets of the upstream that the service's host names.
    pub group: Option<Arc<Group>>,
    /// How many bytes of the canonical path the route matched.
    pub matched: usize,
}

/// What plugins changed of a target.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changed<'c> {
    /// The whole path for the upstream.
    pub(crate) path: Option<&'c [u8]>,
    /// The query; `Some(None)`: there is none any more.
    pub(crate) query: Option<Option<&'c [u8]>>,
}

/// The canonical path, joined with the service's, and the query as received, unless they were changed.
pub(crate) fn upstream_target(
    request: &Request,
    canonical: &Canonical,
    target: &Target,
    changed: Changed<'_>,
) -> Vec<u8> {
    let joined = || {
        let (route, service) = (&target.route, &target.service);
        let (base, path) = (service.path.as_deref().unwrap_or("/"), canonical.path(request));
        model::upstream_path(route.path_handling, route.strip_path, base, path, target.matched)
    };
    let mut joined = changed.path.map_or_else(|| joined().into_bytes(), <[u8]>::to_vec);
    if let Some(query) = changed.query.unwrap_or_else(|| canonical.query(request)) {
        joined.reserve_exact(1 + query.len());
        joined.push(b'?');
        joined.extend_from_slice(query);
    }
    joined
}

/// The host that the upstream is asked for, with its port: the client's if the route preserves it. `chosen` is the
/// name and the port of the target that was chosen.
pub(crate) fn upstream_host<'r>(
    request: &'r Request,
    canonical: &Canonical,
    target: &'r Target,
    chosen: Option<(&str, u16)>,
) -> Cow<'r, [u8]> {
    let of_upstream = || match (&target.group, chosen) {
        (Some(group), _) if group.terms().host_header.is_some() => {
            Cow::Borrowed(group.terms().host_header.as_deref().unwrap_or_default().as_bytes())
        }
        (Some(_), Some((name, port))) => Cow::Owned(authority(name, port, target.service.tls)),
        (Some(_) | None, _) => Cow::Borrowed(target.service.authority.as_bytes()),
    };
    if !target.route.preserve_host {
        return of_upstream();
    }
    match (canonical.authority(), &request.authority) {
        (Some(authority), _) => Cow::Owned(authority.as_bytes().to_vec()),
        (None, Some(sent)) => Cow::Borrowed(&**sent),
        // HTTP/1.0 may come without a host, and is forwarded as HTTP/1.1, which requires one.
        (None, None) => of_upstream(),
    }
}

/// A host with its port, unless that is the protocol's own.
fn authority(name: &str, port: u16, tls: bool) -> Vec<u8> {
    let bare = Host::without_brackets(name);
    let mut text = Vec::with_capacity(name.len() + 8);
    if bare.contains(':') {
        text.push(b'[');
        text.extend_from_slice(bare.as_bytes());
        text.push(b']');
    } else {
        text.extend_from_slice(bare.as_bytes());
    }
    if port != if tls { 443 } else { 80 } {
        text.push(b':');
        text.extend_from_slice(&digits(port.into()));
    }
    text
}
