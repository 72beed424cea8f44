//! What goes upstream: target, host and forwarded headers, all of it out of the one canonical form that
//! also decided on the route.

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
        // HTTP/1.0 may come without, and goes on as HTTP/1.1, which may not.
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

/// The canonical path, joined with the service's; the query as it came.
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

/// A query that Pingora's type has no place for. It goes out as it came where that can be said at all.
fn set_odd_target(upstream: &mut RequestHeader, target: &[u8]) -> Result<()> {
    upstream.set_raw_path(target).or_else(|_| upstream.set_raw_path(wire::encode_uri(target).as_bytes()))
}
