//! Answers a request that the proxy does not get to see.

use bytes::Bytes;
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SERVER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::context::Context;
use crate::error::{Body, Format, RequestFailure};
use crate::grpc;
use crate::respond::SERVER_NAME;

const LATENCY: HeaderName = HeaderName::from_static("x-kong-response-latency");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-kong-request-id");

/// Answers the request with the header `request`.
///
/// # Errors
/// When the client has reset the stream.
pub(super) fn answer(
    response: &mut SendResponse<Bytes>,
    request: &Parts,
    failure: RequestFailure,
) -> Result<(), h2::Error> {
    let (header, body) = compose(request, failure);
    match body {
        None => response.send_response(header, true).map(drop),
        // Smaller than any window of a client that wants an answer, and kept by the connection otherwise.
        Some(body) => response.send_response(header, false)?.send_data(body, true),
    }
}

fn compose(request: &Parts, failure: RequestFailure) -> (Response<()>, Option<Bytes>) {
    let (context, answer) = (Context::new(), failure.answer());
    let mut header = Response::new(());
    *header.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
    let fields = header.headers_mut();
    fields.insert(SERVER, SERVER_NAME);
    fields.insert(LATENCY, HeaderValue::from_static("0"));
    fields.insert(REQUEST_ID, context.request_id.clone());
    if grpc::has_media_type(&request.headers) {
        grpc::write(fields, &answer);
        return (header, None);
    }
    let format = Format::negotiate(&request.headers, answer.format);
    let body = Body::new(format, answer.message, context.request_id());
    set_body(fields, &body);
    (header, (request.method != Method::HEAD).then(|| body.text.into()))
}

fn set_body(fields: &mut HeaderMap, body: &Body) {
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.text.len()));
}
