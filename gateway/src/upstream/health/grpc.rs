//! Probes by the health protocol of gRPC (`grpc.health.v1`).

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderValue, Method, StatusCode, Version};

use super::http::{headers, host_of, uri};
use super::line::{Exchanged, Line};
use super::probe::{GrpcCheck, ProbeOutcome};
use crate::names::{self, Name};
use crate::upstream::{Response, Upstream, UpstreamFailure};

/// The method that is called.
const PATH: &str = "/grpc.health.v1.Health/Check";
/// The most bytes of an answer. That of the protocol has two.
const MOST_ANSWER: usize = 4096;
/// Bytes in front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Calls the health protocol, and returns whether the service is serving.
pub(super) async fn probe(line: Line<'_>, check: &GrpcCheck) -> ProbeOutcome {
    match line.exchange(&check.terms, check).await {
        Ok(Ok(())) => ProbeOutcome::Success,
        Ok(Err(why)) => ProbeOutcome::HttpFailure(why),
        Err(failure) => ProbeOutcome::from(&failure),
    }
}

impl Exchanged for GrpcCheck {
    /// Whether the service is serving; if not, why.
    type Answer = Result<(), Box<str>>;

    fn begin(&self, upstream: &mut Upstream, _: Line<'_>) -> Result<(), UpstreamFailure> {
        let Upstream::Http2(stream) = upstream else {
            return Err(UpstreamFailure::invalid("gRPC needs HTTP/2"));
        };
        let mut request = http::Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(&self.terms, host_of(&self.host, &self.fields), PATH)?;
        let mut fields = headers(&self.fields);
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.insert(TE, HeaderValue::from_static("trailers"));
        *request.headers_mut() = fields;
        *request.version_mut() = Version::HTTP_2;
        stream.begin(request, false);
        stream.queue(message(&self.service));
        stream.queue_end(None);
        Ok(())
    }

    async fn end(
        &self,
        mut upstream: Upstream,
        response: Response,
        _: Line<'_>,
    ) -> Result<Self::Answer, UpstreamFailure> {
        if response.status != StatusCode::OK {
            return Ok(Err(format!("no answer of gRPC: HTTP status {}", response.status.as_u16()).into()));
        }
        let mut answer = BytesMut::new();
        while let Some(part) = upstream.part().await? {
            if answer.len() + part.len() > MOST_ANSWER {
                return Ok(Err("no answer of the health protocol: it is too long".into()));
            }
            answer.extend_from_slice(&part);
        }
        let trailers = upstream.take_trailers().unwrap_or_default();
        let field = |name: &Name| {
            // An answer without a message has its status in the header.
            let mut header = response.fields.iter();
            let in_header = header.find(|(other, _)| *other == name.lower.as_str().as_bytes());
            let value = trailers.get(&name.lower).map(HeaderValue::as_bytes);
            let value = value.or(in_header.map(|(_, value)| value))?;
            std::str::from_utf8(value).ok()
        };
        Ok(self.judge(field(&names::GRPC_STATUS), field(&names::GRPC_MESSAGE), &answer))
    }
}

impl GrpcCheck {
    /// Whether an answer says that the service is serving.
    fn judge(&self, status: Option<&str>, text: Option<&str>, answer: &[u8]) -> Result<(), Box<str>> {
        let status = status.and_then(|status| status.parse::<u32>().ok());
        match status {
            Some(0) => match serving_status(answer) {
                Some(1) => Ok(()),
                Some(0) => Err("the service answers UNKNOWN".into()),
                Some(2) => Err("the service answers NOT_SERVING".into()),
                Some(3) => Err("the service answers SERVICE_UNKNOWN".into()),
                Some(other) => Err(format!("the service answers the unknown status {other}").into()),
                None => Err("no answer of the health protocol: its message is malformed".into()),
            },
            Some(5) => Err(format!("the server does not know the service \"{}\"", self.service).into()),
            Some(12) => Err("the server does not implement grpc.health.v1.Health".into()),
            Some(other) => {
                let text: String = text.unwrap_or_default().chars().take(128).collect();
                Err(format!("the call failed with the gRPC status {other}: {text}").into())
            }
            None => Err("no answer of gRPC: it has no grpc-status".into()),
        }
    }
}

/// A `HealthCheckRequest`, whose only field, the service, has number 1.
fn message(service: &str) -> Bytes {
    let mut message = BytesMut::with_capacity(PREFIX + service.len() + 6);
    if !service.is_empty() {
        // Field 1 of a type with a length.
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8((length & 0x7f) as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    framed.freeze()
}

/// The status in a `HealthCheckResponse`, whose field has number 1. Other fields are skipped.
fn serving_status(answer: &[u8]) -> Option<u64> {
    let (prefix, mut message) = answer.split_first_chunk::<PREFIX>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    if prefix[0] != 0 || message.len() != usize::try_from(length).ok()? {
        return None;
    }
    // A field at its default is left out.
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => {
                let value = varint(&mut message)?;
                if tag == 0x08 {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// Takes a number of at most 10 bytes, 7 bits in each.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_has_the_service_and_none_is_empty() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("a.b")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'b']);
        let long = message(&"x".repeat(300));
        assert_eq!(long[..9], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02, b'x']);
    }

    #[test]
    fn status_is_read_among_other_fields_and_malformed_messages_are_none() {
        let framed = |message: &[u8]| {
            let mut all = vec![0, 0, 0, 0, message.len() as u8];
            all.extend_from_slice(message);
            all
        };
        for (message, status) in [
            (&[0x08, 1][..], Some(1)),
            (&[0x08, 2], Some(2)),
            (&[], Some(0)),
            (&[0x08, 0x81, 0], Some(1)),
            (&[0x12, 2, 8, 9, 0x08, 1], Some(1)),
            (&[0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x08, 1, 0x25, 1, 2, 3, 4], Some(1)),
            (&[0x08], None),
            (&[0x08, 0xff], None),
            (&[0x12, 200], None),
            (&[0x0b], None),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], None),
        ] {
            assert_eq!(serving_status(&framed(message)), status, "{message:x?}");
        }
        // Compressed, too short, too long, nothing.
        for answer in
            [&[1, 0, 0, 0, 2, 8, 1][..], &[0, 0, 0, 0, 3, 8, 1], &[0, 0, 0, 0, 1, 8, 1], &[0, 0], &[]]
        {
            assert_eq!(serving_status(answer), None, "{answer:?}");
        }
    }
}
