//! One connection: its requests one after the other, until either side ends it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, RETRY_AFTER};
use ::http::{HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::body::{AnswerBody, Busy};
use super::places::Place;
use super::timed::Timed;
use super::{Bound, Handler, HttpLimiter, Peer, RequestBody};

/// Header fields of a request; hyper answers 431 to more.
const MAX_HEADERS: usize = 100;

/// The time that a connection without a request stays open once the program stops.
const GRACE: Duration = Duration::from_secs(1);

/// Serves a connection until it ends or is evicted, or until `stop` and the end of the last answer.
pub(super) async fn run<S, H>(
    stream: S,
    peer: Peer,
    handler: H,
    shared: HttpLimiter,
    place: Place,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let (peer, activity) = (Arc::new(peer), Arc::clone(&place.activity));
    let service = service_fn(|request| {
        answer(request, Arc::clone(&peer), handler.clone(), shared.clone(), Arc::clone(&activity))
    });
    let stream = Timed::new(stream, Arc::clone(&activity), shared.clone());
    let connection = http1(&shared).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // The code that finds the reason of an early end counts it. The client may end the connection at any
    // time.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = place.evicted.cancelled() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(GRACE) => {}
    }
    if !activity.phase().is_waiting() {
        connection.await.ok();
    }
}

fn http1(shared: &HttpLimiter) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // `Timed` has the timeouts.
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_header_size(shared.limits.max_header_bytes)
        .max_buf_size(shared.limits.max_header_bytes.max(super::LEAST_HEADER));
    builder
}

async fn answer<H: Handler>(
    request: Request<Incoming>,
    peer: Arc<Peer>,
    handler: H,
    shared: HttpLimiter,
    activity: Arc<Activity>,
) -> Result<Response<AnswerBody<H::Body>>, Infallible> {
    if !activity.begin_request() {
        // The caller is about to drop the connection.
        std::future::pending::<()>().await;
    }
    let busy = Busy(activity);
    let response = match shared.in_flight.try_acquire() {
        Ok(_permit) => {
            let request = request.map(|body| RequestBody::new(body, shared.clone()));
            handler.handle(request, peer).await
        }
        Err(_) => {
            shared.met(Bound::InFlight);
            too_many_requests()
        }
    };
    Ok(response.map(|body| AnswerBody::new(body, busy)))
}

fn too_many_requests<B: From<Bytes>>() -> Response<B> {
    let mut response = Response::new(B::from(Bytes::from_static(
        b"{\"message\":\"Too many requests are being answered; try again in a second\"}",
    )));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
