//! Access to the Admin API, decided from the header of a request before its body is read. It rejects web
//! pages of other origins and names that reach this listener by DNS rebinding. Where tokens or client
//! certificates are configured, it rejects every client without one.

mod audit;
mod credential;
mod origin;

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use node::http::{Peer, without_redundant_slashes};

pub(super) use self::audit::Entity;
use self::audit::Write;
pub(crate) use self::credential::Credentials;
pub(crate) use self::origin::Origin;
use super::config;
use super::host::{self, Host};
use crate::error::AccessError;
use crate::metrics::AdminMetrics;

/// The access rules that every request must meet.
#[derive(Debug)]
pub(crate) struct Access {
    /// Names and addresses by which this listener is known, beside loopback and its own address.
    pub(crate) hosts: Vec<Host>,
    /// Origins whose web pages may use the Admin API.
    pub(crate) origins: Vec<Origin>,
    /// The ways to identify clients.
    pub(crate) credentials: Credentials,
    /// Counts rejected requests.
    pub(crate) metrics: AdminMetrics,
}

/// Header fields that a page of an allowed origin may send and read.
const ALLOWED_HEADERS: &str = "Content-Type, Authorization, Kong-Admin-Token";
const EXPOSED_HEADERS: &str = "Gibbon-Revision, Gibbon-Applied, Gibbon-Pending, X-Kong-Admin-Latency";
const ALLOWED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

impl Access {
    /// Lets `handler` answer a request, or rejects the request.
    pub(super) async fn admission<F>(
        &self,
        parts: Parts,
        peer: &Peer,
        handler: impl FnOnce(Parts) -> F,
    ) -> Response
    where
        F: Future<Output = Response>,
    {
        let origin = match self.check_browser(&parts, peer) {
            Ok(origin) => origin.cloned(),
            Err(error) => return self.refuse(error, &parts, peer),
        };
        let response = match &origin {
            Some(_) if is_preflight(&parts) => preflight(&parts.headers),
            _ => self.guard_caller(parts, peer, handler).await,
        };
        self.with_cors(response, origin.as_ref())
    }

    async fn guard_caller<F>(
        &self,
        mut parts: Parts,
        peer: &Peer,
        handler: impl FnOnce(Parts) -> F,
    ) -> Response
    where
        F: Future<Output = Response>,
    {
        let caller = match self.credentials.caller(&parts.headers, peer).await {
            Ok(caller) => caller,
            Err(error) => return self.refuse(error, &parts, peer),
        };
        if !is_write(&parts) {
            return handler(parts).await;
        }
        if !caller.may_write() {
            return self.refuse(AccessError::ReadOnly, &parts, peer);
        }
        let write = Write::begin(&caller, &parts, peer);
        parts.extensions.insert(caller.author(peer));
        let response = handler(parts).await;
        write.end(&response);
        response
    }

    /// Returns the allowed origin of the page that sent the request, if a page did.
    fn check_browser(&self, parts: &Parts, peer: &Peer) -> Result<Option<&Origin>, AccessError> {
        let host = host::of_request(parts)?;
        self.check_host(host.as_ref().map(|(host, _)| host), peer)?;
        origin::check(&self.origins, &parts.headers, host.as_ref(), peer.tls)
    }

    /// Checks the `Host`. Browsers connect to whatever address a name has, so a foreign name may point here
    /// (DNS rebinding).
    fn check_host(&self, host: Option<&Host>, peer: &Peer) -> Result<(), AccessError> {
        // Browsers cannot reach a Unix socket, and HTTP/1.0 needs no Host.
        let (Some(host), Some(local)) = (host, peer.local) else { return Ok(()) };
        let known = host.is_loopback()
            || host.is_ip(local.ip())
            || self.hosts.contains(host)
            || (peer.tls && self.credentials.is_own_name(host));
        if known { Ok(()) } else { Err(AccessError::UnknownHost) }
    }

    fn refuse(&self, error: AccessError, parts: &Parts, peer: &Peer) -> Response {
        self.metrics.refused.with_label_values(&[error.reason()]).inc();
        audit::refused(error, parts, peer);
        error.into_response()
    }

    fn with_cors(&self, mut response: Response, origin: Option<&Origin>) -> Response {
        let headers = response.headers_mut();
        if !self.origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin.and_then(|origin| HeaderValue::try_from(origin.to_string()).ok()) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
        response
    }
}

/// Whether a browser asks if a page may send a request; such a question carries no credentials.
fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(headers: &HeaderMap) -> Response {
    const PRIVATE_NETWORK: &str = "access-control-request-private-network";
    let mut response = axum::http::StatusCode::NO_CONTENT.into_response();
    let mut set = |name: &'static str, value| {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    };
    set("access-control-allow-methods", ALLOWED_METHODS);
    set("access-control-allow-headers", ALLOWED_HEADERS);
    set("access-control-max-age", "600");
    if headers.contains_key(PRIVATE_NETWORK) {
        set("access-control-allow-private-network", "true");
    }
    response
}

/// Whether a request may change something. `/routes/match`, `/schemas/…/validate` and a dry run of `/config`
/// only ask, though they may have a body.
fn is_write(parts: &Parts) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method);
    // The router ignores redundant slashes, too.
    let path = without_redundant_slashes(parts.uri.path());
    let validates = path.starts_with("/schemas/") && path.ends_with("/validate");
    let is_dry_run = ["/config", "/config/rollback"].contains(&&*path)
        && config::is_dry_run(parts.uri.query().unwrap_or_default());
    let asks = parts.method == Method::POST && (path == "/routes/match" || validates || is_dry_run);
    !reads && !asks
}

/// Cheap to clone.
pub(crate) type SharedAccess = Arc<Access>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redundant_slashes_do_not_make_a_question_a_write() {
        for (method, target, expected) in [
            ("GET", "/services", false),
            ("POST", "/services", true),
            ("POST", "/config?dry_run=true", false),
            ("POST", "/config/?dry_run=true", false),
            ("POST", "//config?dry_run=true", false),
            ("POST", "/config//rollback/?dry_run=true&to=1", false),
            ("POST", "/config/?dry_run=false", true),
            ("POST", "/config/", true),
            ("PUT", "/config/?dry_run=true", true),
            ("POST", "/config/other?dry_run=true", true),
            ("POST", "/config%2F?dry_run=true", true),
            ("POST", "//routes//match/", false),
            ("POST", "/schemas//services/validate/", false),
            ("POST", "/schemas/plugins/validate", false),
            ("POST", "/routes/match/validate", true),
        ] {
            let request = axum::http::Request::builder().method(method).uri(target).body(()).unwrap();
            assert_eq!(is_write(&request.into_parts().0), expected, "{method} {target}");
        }
    }
}
