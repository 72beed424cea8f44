//! Paths and methods as Kong's server treats them. Repeated slashes count as one, and a final slash is
//! ignored. `Allow` names all methods in alphabetical order.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use node::http::without_redundant_slashes;

/// Removes redundant slashes from a request's path.
pub(super) fn merge_slashes(mut request: Request) -> Request {
    if let Some(merged) = merged(request.uri()) {
        *request.uri_mut() = merged;
    }
    request
}

/// Returns the changed URI; `None` when it needs no change.
fn merged(uri: &Uri) -> Option<Uri> {
    let Cow::Owned(path) = without_redundant_slashes(uri.path()) else { return None };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path + &query).ok()?);
    Uri::from_parts(parts).ok()
}

/// Completes `Allow`: the router names the methods that have handlers, and every path has OPTIONS.
pub(super) fn complete_allow(response: &mut Response) {
    let Some(allow) = response.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok()) else {
        return;
    };
    let mut methods: Vec<&str> = allow.split(',').map(str::trim).chain(["OPTIONS"]).collect();
    methods.retain(|method| !method.is_empty());
    methods.sort_unstable();
    methods.dedup();
    if let Ok(allow) = HeaderValue::try_from(methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_are_merged() {
        for (uri, expected) in [
            ("/", None),
            ("/services", None),
            ("/services/a%2F%2Fb", None),
            ("/services?a=//", None),
            ("/services/", Some("/services")),
            ("//services//a///routes//?size=1", Some("/services/a/routes?size=1")),
            ("//", Some("/")),
            ("http://h:1/a/", Some("http://h:1/a")),
        ] {
            let merged = merged(&uri.parse().unwrap()).map(|uri| uri.to_string());
            assert_eq!(merged.as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn allow_names_options_too() {
        let mut response = Response::default();
        complete_allow(&mut response);
        assert!(response.headers().get("allow").is_none());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD,POST"));
        complete_allow(&mut response);
        assert_eq!(response.headers()["allow"], "GET, HEAD, OPTIONS, POST");
    }
}
