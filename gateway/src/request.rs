//! What goes upstream: target, host and forwarded headers, all of it out of the one canonical form that
//! also decided on the route.

mod canonical;
mod forwarded;
mod path;

use http::HeaderValue;
use http::header::HOST;
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::context::{Context, Target};

pub use canonical::Canonical;
pub use forwarded::Trusted;

/// What is written into the `Via` header of requests and responses.
pub const VIA: &str = concat!("1.1 gibbon/", env!("CARGO_PKG_VERSION"));

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
    upstream.append_header("Via", HeaderValue::from_static(VIA))?;
    upstream.insert_header("X-Kong-Request-Id", &context.request_id)?;
    set_host(upstream, target, &context.canonical)?;
    set_target(upstream, target, &context.canonical)
}

fn set_host(upstream: &mut RequestHeader, target: &Target, canonical: &Canonical) -> Result<()> {
    if !target.route.preserve_host {
        return upstream.insert_header(HOST, &target.service.authority);
    }
    match canonical.authority() {
        Some(host) => upstream.insert_header(HOST, host),
        None => Ok(()),
    }
}

/// The canonical path, joined with the service's; the query as it came.
fn set_target(upstream: &mut RequestHeader, target: &Target, canonical: &Canonical) -> Result<()> {
    let old = upstream.uri.path_and_query().map_or("/", |target| target.as_str());
    let (path, query) = match old.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (old, None),
    };
    let mut new = path::join(
        target.route.path_handling,
        target.route.strip_path,
        &target.service.path,
        canonical.path.as_deref().unwrap_or(path),
        target.matched,
    );
    if let Some(query) = query {
        new.push('?');
        new.push_str(query);
    }
    if new.as_bytes() == upstream.raw_path() { Ok(()) } else { upstream.set_raw_path(new.as_bytes()) }
}
