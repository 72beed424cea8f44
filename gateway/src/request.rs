//! What goes upstream: target, host and forwarded headers, all of it out of the one canonical form that
//! also decided on the route.

mod canonical;
mod forwarded;
pub mod names;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{ErrorType, OrErr, Result};

use crate::context::{Context, Target};

pub use canonical::Canonical;
pub use forwarded::Trusted;
pub(crate) use forwarded::{client_host, is_https};

/// What is written into the `Via` header of requests and responses.
pub const VIA: HeaderValue = HeaderValue::from_static(concat!("1.1 gibbon/", env!("CARGO_PKG_VERSION")));

/// No field of HTTP, but one that CGI programs would find as `HTTP_PROXY`, and send their own requests to
/// (CVE-2016-5385).
static PROXY: HeaderName = HeaderName::from_static("proxy");

/// Makes `upstream`, a copy of the client's request, the one that the route asks for.
///
/// # Errors
/// When the target would not be a URI, which no canonical path leads to.
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
        None => Ok(()),
    }
}

fn replace_host(upstream: &mut RequestHeader, host: HeaderValue) -> Result<()> {
    match upstream.replace_value(&HOST, host) {
        None => Ok(()),
        Some(host) => upstream.insert_header(HOST, host),
    }
}

/// The canonical path, joined with the service's; the query as it came.
fn set_target(upstream: &mut RequestHeader, target: &Target, canonical: &Canonical) -> Result<()> {
    let old = upstream.uri.path_and_query().map_or("/", |target| target.as_str());
    let (path, query) = match old.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (old, None),
    };
    let mut new = wire::upstream_path(
        target.route.path_handling,
        target.route.strip_path,
        &target.service.path,
        canonical.path.as_deref().unwrap_or(path),
        target.matched,
    );
    if let Some(query) = query {
        new.reserve_exact(1 + query.len());
        new.push('?');
        new.push_str(query);
    }
    if new.as_bytes() == upstream.raw_path() {
        return Ok(());
    }
    let new = PathAndQuery::from_maybe_shared(Bytes::from(new));
    let new = new.or_err(ErrorType::InternalError, "a canonical path is not one of a URI")?;
    upstream.set_uri(new.into());
    Ok(())
}
