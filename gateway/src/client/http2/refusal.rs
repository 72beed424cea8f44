//! Answers a request that the proxy does not get to see.

use bytes::Bytes;
use h2::server::SendResponse;
use http::request::Parts;
use http::{Method, Response};

use crate::error::{Body, Format, RequestFailure};
use crate::grpc;
use crate::message::{FieldSink, MapSink};
use crate::names;
use crate::request_id::RequestId;

/// Answers the request with the header `request`. Returns the length of the body, and an error when the client has
/// reset the stream.
pub(super) fn answer(
    response: &mut SendResponse<Bytes>,
    request: &Parts,
    failure: RequestFailure,
    id: &RequestId,
) -> (u64, Result<(), h2::Error>) {
    let (header, body) = compose(request, failure, id);
    (body.as_ref().map_or(0, |body| body.len() as u64), send(response, header, body))
}

fn send(
    response: &mut SendResponse<Bytes>,
    header: Response<()>,
    body: Option<Bytes>,
) -> Result<(), h2::Error> {
    match body {
        None => response.send_response(header, true).map(drop),
        // Smaller than any window of a client that wants an answer, and kept by the connection otherwise.
        Some(body) => response.send_response(header, false)?.send_data(body, true),
    }
}

fn compose(request: &Parts, failure: RequestFailure, id: &RequestId) -> (Response<()>, Option<Bytes>) {
    let answer = failure.answer();
    let mut header = Response::new(());
    *header.status_mut() = answer.code();
    let mut fields = MapSink::with_capacity(8);
    fields.fixed(&names::SERVER, names::SERVER_VALUE);
    fields.known(&names::RESPONSE_LATENCY, b"0");
    fields.unique(&names::REQUEST_ID, id.as_bytes());
    if grpc::has_media_type(&request.headers) {
        let outcome = grpc::failure(answer.status, answer.message);
        outcome.iter().for_each(|(name, value)| fields.received(name.written().as_bytes(), value.as_bytes()));
        *header.headers_mut() = fields.into_fields();
        return (header, None);
    }
    let format = Format::negotiate(&request.headers, answer.format);
    let body = Body::new(format, answer.message, id.as_str());
    fields.known(&names::CONTENT_TYPE, body.content_type.as_bytes());
    fields.known(&names::CONTENT_LENGTH, body.text.len().to_string().as_bytes());
    *header.headers_mut() = fields.into_fields();
    (header, (request.method != Method::HEAD).then(|| body.text.into()))
}
