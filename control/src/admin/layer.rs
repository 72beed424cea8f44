//! The layer around every request: it catches a handler's panic and adds the common headers to the answer.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::Instant;
use tracing::error;

use super::applied::Wait;
use super::{Admin, SharedAdmin, paths};
use crate::error::ApiError;

pub(super) async fn around(State(admin): State<SharedAdmin>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let counted = InFlight::new(&admin);
    let mut request = paths::merge_slashes(request);
    // Until the answer: the handler has the fields of the body.
    let share = admin.state.bodies.share();
    request.extensions_mut().insert(share.clone());
    let mut response = match Wait::parse(request.uri().query().unwrap_or_default()) {
        Ok(wait) => {
            let mut response = caught(next.run(request)).await;
            if let Some(wait) = wait {
                wait.for_data_planes(&mut response, &admin).await;
            }
            response
        }
        // Before anything is written.
        Err(error) => error.into_response(),
    };
    drop((counted, share));
    let taken = begun.elapsed();
    let metrics = &admin.state.metrics;
    metrics.requests.with_label_values(&[response.status().as_str()]).inc();
    metrics.request_duration.observe(taken.as_secs_f64());
    paths::complete_allow(&mut response);
    common_headers(&mut response, &admin);
    response.headers_mut().insert("x-kong-admin-latency", HeaderValue::from(taken.as_millis() as u64));
    response
}

/// Catches a panic. Dropping the transaction rolls back what the handler has not committed.
async fn caught(handler: impl Future<Output = Response>) -> Response {
    AssertUnwindSafe(handler).catch_unwind().await.unwrap_or_else(|_| {
        error!("a handler of the Admin API has panicked");
        ApiError::Panicked.into_response()
    })
}

fn common_headers(response: &mut Response, admin: &Admin) {
    let server = HeaderValue::try_from(format!("gibbon/{}", admin.state.node.version));
    let headers = response.headers_mut();
    if let Ok(server) = server {
        headers.insert(header::SERVER, server);
    }
    // As Kong says it.
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
}

/// Counts a request until it is dropped, also when the client disconnects.
struct InFlight<'a>(&'a Admin);

impl<'a> InFlight<'a> {
    fn new(admin: &'a Admin) -> Self {
        admin.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(admin)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let response = caught(async { panic!("on purpose") }).await;
        assert_eq!(response.status(), 500);
        assert_eq!(caught(async { Response::default() }).await.status(), 200);
    }
}
