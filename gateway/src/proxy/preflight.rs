//! Preflights of browsers: they ask with OPTIONS whether a request with another method may come.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};

use crate::client::Request;

/// Whether a request is a preflight.
pub(super) fn is_one(request: &Request) -> bool {
    let has = |name| request.headers().get(name).is_some_and(|value| !value.is_empty());
    request.method == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The method that a preflight asks for.
pub(super) fn asked_method(request: &Request) -> Option<Method> {
    Method::from_bytes(request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}
