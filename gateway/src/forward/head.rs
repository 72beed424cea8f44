//! Writes the header of a request for its upstream, in the version of the upstream's connection.

use std::borrow::Cow;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TE, TRAILER, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, Method, Uri, Version};

use super::Failure;
use super::fields;
use super::nominated::Nominated;
use crate::client::{Incoming, Request};
use crate::context::Context;
use crate::error::RequestFailure;
use crate::message::{FieldSink, Framing, MapSink};
use crate::names;
use crate::plugin::Running;
use crate::request::{self, Changed, Target, Trusted};
use crate::upstream::{RequestKind, Upstream};

/// Writes the header of the request, and begins its body. Returns the target that the upstream is asked for.
pub(super) fn begin_request(
    upstream: &mut Upstream,
    incoming: &Incoming,
    context: &Context,
    trusted: &Trusted,
) -> Result<Vec<u8>, Failure> {
    let target = context.target.as_ref().ok_or(RequestFailure::Internal)?;
    let nominated = Nominated::of_request(incoming.request.early_headers())?;
    let request = &incoming.request;
    let plugins = context.plugins.as_deref();
    let path = asked_target(request, context, target);
    let chosen = target.group.as_ref().zip(context.upstream.balanced.as_ref());
    let chosen = chosen.and_then(|(group, balanced)| balanced.server_name(group));
    let host = match plugins.and_then(Running::host) {
        Some(host) if Authority::try_from(host).is_err() => return Err(RequestFailure::BadRequest.into()),
        Some(host) => Cow::Borrowed(host),
        None => request::upstream_host(request, &context.canonical, target, chosen),
    };
    let write = |sink: &mut dyn FieldSink| {
        fields::write_request(sink, incoming, context, target, &nominated, trusted);
    };
    match upstream {
        Upstream::Http1(upstream) => {
            let asks_upgrade = asks_for_websocket(request);
            let text = upstream.head();
            text.reserve(1024);
            for part in
                [request.method.as_str().as_bytes(), b" ", &path, b" HTTP/1.1\r\nHost: ", &host, b"\r\n"]
            {
                text.extend_from_slice(part);
            }
            write(text);
            frame_request(text, request);
            end_request(text, request, asks_upgrade);
            let kind = RequestKind { is_head: request.method == Method::HEAD, asks_upgrade };
            upstream.begin(chunked_unless_known(request.framing), kind);
        }
        Upstream::Http2(upstream) => {
            let mut sink = MapSink::with_capacity(request.early_headers().len() + 16);
            write(&mut sink);
            let mut headers = sink.into_fields();
            if let Framing::Length(length) = request.framing {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            if takes_trailers(request.early_headers()) {
                headers.insert(TE, HeaderValue::from_static("trailers"));
            }
            let mut head = http::Request::new(());
            *head.method_mut() = request.method.clone();
            *head.uri_mut() = uri(target, &path, &host)?;
            *head.headers_mut() = headers;
            *head.version_mut() = Version::HTTP_2;
            upstream.begin(head, request.framing == Framing::Empty);
        }
    }
    Ok(path)
}

/// The path and the query that the upstream is asked for, with the changes that plugins made.
pub(crate) fn asked_target(request: &Request, context: &Context, target: &Target) -> Vec<u8> {
    let changed = context
        .plugins
        .as_deref()
        .map_or_else(Changed::default, |plugins| Changed { path: plugins.path(), query: plugins.query() });
    request::upstream_target(request, &context.canonical, target, changed)
}

fn frame_request(text: &mut BytesMut, request: &Request) {
    match chunked_unless_known(request.framing) {
        Framing::Length(length) => text.known_number(&names::CONTENT_LENGTH, length),
        Framing::Empty => {
            // A method that usually has a body says that this one has none (RFC 9110, section 8.6).
            let usual = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
            if usual || request.early_headers().contains_key(CONTENT_LENGTH) {
                text.known_number(&names::CONTENT_LENGTH, 0);
            }
        }
        Framing::Chunked | Framing::Close => {
            text.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            for trailer in request.early_headers().get_all(TRAILER) {
                text.received(b"Trailer", trailer.as_bytes());
            }
        }
    }
}

fn end_request(text: &mut BytesMut, request: &Request, asks_upgrade: bool) {
    text.extend_from_slice(match (asks_upgrade, takes_trailers(request.early_headers())) {
        (true, _) => b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        (false, true) => b"TE: trailers\r\nConnection: TE\r\n\r\n",
        (false, false) => b"\r\n",
    });
}

/// A body of HTTP/2 that ends with its stream is chunked in HTTP/1.
fn chunked_unless_known(framing: Framing) -> Framing {
    if framing == Framing::Close { Framing::Chunked } else { framing }
}

/// Whether the request asks for the one protocol that is tunnelled.
fn asks_for_websocket(request: &Request) -> bool {
    request.version == Version::HTTP_11
        && has_option(request.early_headers(), CONNECTION, b"upgrade")
        && request
            .early_headers()
            .get(UPGRADE)
            .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether the client takes trailers.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    has_option(headers, TE, b"trailers")
}

/// Whether a list has an item, in any case.
fn has_option(headers: &HeaderMap, list: HeaderName, item: &[u8]) -> bool {
    let lists = headers.get_all(list).iter();
    let mut items = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    items.any(|other| other.trim_ascii().eq_ignore_ascii_case(item))
}

fn uri(target: &Target, path: &[u8], host: &[u8]) -> Result<Uri, RequestFailure> {
    let scheme = if target.service.tls { Scheme::HTTPS } else { Scheme::HTTP };
    // A query may have bytes for which the type of targets has no place.
    let path =
        PathAndQuery::try_from(path).or_else(|_| PathAndQuery::try_from(model::encode_uri(path).as_bytes()));
    let authority = Authority::try_from(host).map_err(|_| RequestFailure::BadRequest)?;
    let uri = Uri::builder().scheme(scheme).authority(authority);
    uri.path_and_query(path.map_err(|_| RequestFailure::BadRequest)?)
        .build()
        .map_err(|_| RequestFailure::BadRequest)
}
