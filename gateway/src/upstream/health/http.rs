//! Probes by a request of HTTP.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use tokio::time::timeout;

use super::line::{Exchanged, Line};
use super::plan::Memory;
use super::probe::{HttpCheck, ProbeOutcome};
use crate::message::Framing;
use crate::upstream::{Protocol, RequestKind, Response, Terms, Upstream, UpstreamFailure};

/// The value of `User-Agent`, unless the fields of the check have one.
pub(super) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("gibbon-probe/", env!("CARGO_PKG_VERSION")));
/// Bytes of a body that are read so that its connection can be used again.
const MOST_BODY: u64 = 64 * 1024;
/// Time for such a body.
const BODY_TIME: Duration = Duration::from_millis(50);

/// One request in one version.
struct Request<'c> {
    check: &'c HttpCheck,
    version: Version,
}

/// Sends the request of `check` and returns the status of the answer.
///
/// A server may want another version of HTTP/1: 505 to any, 426 to 1.0. The probe remembers the one that was
/// answered.
pub(super) async fn probe(line: Line<'_>, check: &HttpCheck, memory: &Memory) -> ProbeOutcome {
    let is_other = memory.other_version.load(Ordering::Relaxed);
    let version = if is_other { other(check.version) } else { check.version };
    let status = line.exchange(&check.terms, &Request { check, version }).await;
    match status {
        Ok(status @ (426 | 505)) if check.terms.protocol() == Protocol::Http1 => {
            let again = Request { check, version: other(version) };
            match line.exchange(&check.terms, &again).await {
                Ok(426 | 505) | Err(_) => ProbeOutcome::Status(status),
                Ok(status) => {
                    memory.other_version.store(!is_other, Ordering::Relaxed);
                    ProbeOutcome::Status(status)
                }
            }
        }
        Ok(status) => ProbeOutcome::Status(status),
        Err(failure) => ProbeOutcome::from(&failure),
    }
}

fn other(version: Version) -> Version {
    if version == Version::HTTP_10 { Version::HTTP_11 } else { Version::HTTP_10 }
}

impl Exchanged for Request<'_> {
    type Answer = u16;

    fn begin(&self, upstream: &mut Upstream, line: Line<'_>) -> Result<(), UpstreamFailure> {
        let HttpCheck { method, path, host, fields, .. } = self.check;
        match upstream {
            Upstream::Http1(upstream) => {
                self.write(upstream.head(), line.is_last_use);
                let kind = RequestKind { is_head: *method == Method::HEAD, asks_upgrade: false };
                upstream.begin(Framing::Empty, kind);
            }
            Upstream::Http2(upstream) => {
                let mut request = http::Request::new(());
                *request.method_mut() = method.clone();
                *request.uri_mut() = uri(&self.check.terms, host_of(host, fields), path.as_str())?;
                *request.headers_mut() = headers(fields);
                *request.version_mut() = Version::HTTP_2;
                upstream.begin(request, true);
            }
        }
        Ok(())
    }

    /// The status is the result, whatever becomes of the body.
    async fn end(
        &self,
        mut upstream: Upstream,
        response: Response,
        line: Line<'_>,
    ) -> Result<u16, UpstreamFailure> {
        let is_short = match response.framing {
            Framing::Empty | Framing::Chunked => true,
            Framing::Length(length) => length <= MOST_BODY,
            Framing::Close => matches!(upstream, Upstream::Http2(_)),
        };
        let is_useful = is_short && !line.is_last_use;
        let is_read = is_useful && timeout(BODY_TIME, skip(&mut upstream)).await.is_ok_and(|is_read| is_read);
        if is_read {
            upstream.release();
        }
        Ok(response.status.as_u16())
    }
}

impl Request<'_> {
    /// Writes the header for HTTP/1.
    fn write(&self, text: &mut BytesMut, closes: bool) {
        let HttpCheck { method, path, host, fields, .. } = self.check;
        let version = if self.version == Version::HTTP_10 { " HTTP/1.0" } else { " HTTP/1.1" };
        text.reserve(512);
        for part in [method.as_str(), " ", path.as_str(), version, "\r\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        field(text, b"Host", host_of(host, fields));
        for (name, value) in fields.iter().filter(|(name, _)| *name != HOST && !frames(name)) {
            field(text, name.as_str().as_bytes(), value);
        }
        if !has(fields, &USER_AGENT) {
            field(text, b"User-Agent", &AGENT);
        }
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            text.extend_from_slice(b"Content-Length: 0\r\n");
        }
        if closes && !has(fields, &CONNECTION) {
            text.extend_from_slice(b"Connection: close\r\n");
        }
        text.extend_from_slice(b"\r\n");
    }
}

fn field(text: &mut BytesMut, name: &[u8], value: &HeaderValue) {
    for part in [name, b": ", value.as_bytes(), b"\r\n"] {
        text.extend_from_slice(part);
    }
}

/// Reads a body to its end; `false` if it has none, or is too long.
async fn skip(upstream: &mut Upstream) -> bool {
    let mut length = 0;
    while let Ok(next) = upstream.part().await {
        let Some(next) = next else { return true };
        length += next.len() as u64;
        if length > MOST_BODY {
            break;
        }
    }
    false
}

/// The fields of a check for HTTP/2, which has none about the connection (RFC 9113, section 8.2.2).
pub(super) fn headers(fields: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(fields.len() + 3);
    for (name, value) in fields {
        let about_connection = [HOST, CONNECTION, UPGRADE, TE].contains(name)
            || matches!(name.as_str(), "keep-alive" | "proxy-connection");
        if !about_connection && !frames(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.entry(USER_AGENT).or_insert(AGENT);
    headers
}

/// The target of a request of HTTP/2.
pub(super) fn uri(terms: &Terms, host: &HeaderValue, path: &str) -> Result<Uri, UpstreamFailure> {
    let authority = Authority::try_from(host.as_bytes()).map_err(UpstreamFailure::invalid)?;
    let scheme = if terms.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path);
    uri.build().map_err(UpstreamFailure::invalid)
}

/// The host: that of the fields, if they have one.
pub(super) fn host_of<'c>(host: &'c HeaderValue, fields: &'c [(HeaderName, HeaderValue)]) -> &'c HeaderValue {
    fields.iter().find(|(name, _)| *name == HOST).map_or(host, |(_, value)| value)
}

fn has(fields: &[(HeaderName, HeaderValue)], wanted: &HeaderName) -> bool {
    fields.iter().any(|(name, _)| name == wanted)
}

/// Whether a field says where a body ends. A probe has no body.
fn frames(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}
