//! What Kong's server does with every path: slashes in a row count as one, one at the end as none, and `Allow`
//! names all methods in the order of the alphabet.

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;

/// The request for the path that is meant. An encoded slash is part of a name, and stays.
pub(super) fn merge_slashes(mut request: Request) -> Request {
    if let Some(merged) = merged(request.uri()) {
        *request.uri_mut() = merged;
    }
    request
}

/// `None` when nothing is to be changed.
fn merged(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let is_plain = path == "/" || !(path.contains("//") || path.ends_with('/'));
    if is_plain {
        return None;
    }
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/{}{query}", segments.join("/"))).ok()?);
    Uri::from_parts(parts).ok()
}

/// The router answers with the methods that it has handlers for; OPTIONS is everywhere.
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
