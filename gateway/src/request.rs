//! Rewrites the upstream request: target, host and forwarded headers. All of it comes from the one canonical
//! form that also decided on the route.

mod canonical;
mod cookies;
mod forwarded;
pub mod names;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::context::{Context, Target};

pub use canonical::{Canonical, Replaced};
pub use cookies::join_cookies;
pub use forwarded::Trusted;
pub(crate) use forwarded::{client_host, is_https};

/// Value of the `Via` header of requests and responses.
pub const VIA: HeaderValue = HeaderValue::from_static(concat!("1.1 gibbon/", env!("CARGO_PKG_VERSION")));

/// Name of a field that HTTP does not define. CGI programs would find it as `HTTP_PROXY`, and send their own
/// requests to that address (CVE-2016-5385).
static PROXY: HeaderName = HeaderName::from_static("proxy");

/// Rewrites `upstream`, a copy of the client's request, as the route requires.
///
/// # Errors
/// When the target would not be a URI, which no canonical path causes.
pub fn rewrite(
    session: &Session,
    upstream: &mut RequestHeader,
    context: &Context,
    trusted: &Trusted,
) -> Result<()> {
    let target = context.target()?;
    forwarded::set(session, upstream, context, trusted)?;
    upstream.append_known(&names::VIA, VIA);
    if upstream.headers.contains_key(&PROXY) {
        upstream.remove_header(&PROXY);
    }
    set_host(upstream, target, &context.canonical)?;
    set_target(upstream, target, &context.canonical)
}

fn set_host(upstream: &mut RequestHeader, target: &Target, canonical: &Canonical) -> Result<()> {
    if !target.route.preserve_host {
        return replace_host(upstream, target.service.authority.clone());
    }
    match canonical.authority() {
        Some(host) => replace_host(upstream, host),
        // HTTP/1.0 may come without a host, and is forwarded as HTTP/1.1, which requires one.
        None if canonical.host().is_empty() && !upstream.headers.contains_key(HOST) => {
            replace_host(upstream, target.service.authority.clone())
        }
        None => Ok(()),
    }
}

fn replace_host(upstream: &mut RequestHeader, host: HeaderValue) -> Result<()> {
    match upstream.replace_value(&HOST, host) {
        None => Ok(()),
        Some(host) => upstream.insert_header(HOST, host),
    }
}

/// Sets the canonical path, joined with the service's, and the query as received.
fn set_target(upstream: &mut RequestHeader, target: &Target, canonical: &Canonical) -> Result<()> {
    let (path, query) = canonical.path_and_query(upstream);
    let mut new = wire::upstream_path(
        target.route.path_handling,
        target.route.strip_path,
        &target.service.path,
        path,
        target.matched,
    )
    .into_bytes();
    if let Some(query) = query {
        new.reserve_exact(1 + query.len());
        new.push(b'?');
        new.extend_from_slice(query);
    }
    if new == upstream.raw_path() {
        return Ok(());
    }
    let new = Bytes::from(new);
    match PathAndQuery::from_maybe_shared(new.clone()) {
        Ok(new) => {
            upstream.set_uri(new.into());
            Ok(())
        }
        Err(_) => set_odd_target(upstream, &new),
    }
}

/// Sets a target whose query does not fit into Pingora's type. The query goes out as received where that is
/// possible at all.
fn set_odd_target(upstream: &mut RequestHeader, target: &[u8]) -> Result<()> {
    upstream.set_raw_path(target).or_else(|_| upstream.set_raw_path(wire::encode_uri(target).as_bytes()))
}
