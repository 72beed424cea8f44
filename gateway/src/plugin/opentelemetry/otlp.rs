//! What is sent to a collector: messages of OTLP 1 (opentelemetry-proto: common, resource, trace, logs), with the
//! fields that are used.
//!
//! A batch of entries, all of one resource and one scope, has the same form for spans and for records of logs: field
//! 1 of the request has in field 1 the resource, and in field 2 a message with the scope in field 1 and the entries
//! in field 2. An entry is therefore encoded once, as such a field, and a batch joins them.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use uuid::Uuid;

use crate::delivery::collector::Assemble;

/// A name with a value.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3")]
    pub(super) value: Option<Value>,
}

/// The types of values.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Boolean(bool),
    #[prost(int64, tag = "3")]
    Integer(i64),
}

/// A span.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<Status>,
}

/// How the work of a span ended.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

/// A record of a log.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub(super) time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    pub(super) severity_number: i32,
    #[prost(string, tag = "3")]
    pub(super) severity_text: String,
    #[prost(message, optional, tag = "5")]
    pub(super) body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(fixed32, tag = "8")]
    pub(super) flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    pub(super) span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    pub(super) observed_time_unix_nano: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

/// The kind of a span within a program.
pub(super) const KIND_INTERNAL: i32 = 1;
/// The kind of a span that answers a request.
pub(super) const KIND_SERVER: i32 = 2;
/// The kind of a span that sends a request.
pub(super) const KIND_CLIENT: i32 = 3;
/// The status of a span whose work failed.
pub(super) const STATUS_ERROR: i32 = 2;
/// The severity of an entry that tells of no failure.
pub(super) const SEVERITY_INFO: i32 = 9;

/// The attribute that names a process.
const INSTANCE: &str = "service.instance.id";
/// The name of the scope; Kong's.
const SCOPE: &str = "kong-internal";
const SCOPE_VERSION: &str = "0.1.0";

/// The field that has an entry, in its scope, and the one that has a scope, in its resource.
const SECOND: u32 = 2;
const FIRST: u32 = 1;

impl KeyValue {
    /// A text.
    pub(super) fn text(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(key, Value::Text(value.into()))
    }

    /// An integer.
    pub(super) fn integer(key: impl Into<String>, value: impl Into<i64>) -> Self {
        Self::new(key, Value::Integer(value.into()))
    }

    /// A boolean.
    pub(super) fn boolean(key: impl Into<String>, value: bool) -> Self {
        Self::new(key, Value::Boolean(value))
    }

    fn new(key: impl Into<String>, value: Value) -> Self {
        Self { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
    }
}

impl AnyValue {
    /// A text.
    pub(super) fn text(value: impl Into<String>) -> Self {
        Self { value: Some(Value::Text(value.into())) }
    }
}

/// Encodes an entry of a batch.
pub(super) fn entry(message: &impl Message) -> Bytes {
    field(SECOND, &[&message.encode_to_vec()])
}

/// The resource and the scope that all entries of a plugin have.
#[derive(Debug)]
pub(super) struct Batches {
    attributes: Vec<KeyValue>,
    /// The process among those that send spans; known with the first span.
    instance: OnceLock<Uuid>,
    scope: Bytes,
}

impl Batches {
    /// Of a resource with these attributes.
    pub(super) fn new(attributes: Vec<KeyValue>) -> Self {
        let scope = Scope { name: SCOPE.to_owned(), version: SCOPE_VERSION.to_owned() };
        let scope = field(FIRST, &[&scope.encode_to_vec()]);
        Self { attributes, instance: OnceLock::new(), scope }
    }

    /// Names the process. The first name stays.
    pub(super) fn set_instance(&self, instance: Uuid) {
        self.instance.get_or_init(|| instance);
    }

    fn resource(&self) -> Bytes {
        let mut attributes = self.attributes.clone();
        if let Some(instance) = self.instance.get()
            && attributes.iter().all(|attribute| attribute.key != INSTANCE)
        {
            attributes.push(KeyValue::text(INSTANCE, instance.to_string()));
        }
        field(FIRST, &[&Resource { attributes }.encode_to_vec()])
    }
}

impl Assemble for Arc<Batches> {
    fn assemble(&self, batch: &[Bytes]) -> Bytes {
        let entries: Vec<&[u8]> = [&self.scope].into_iter().chain(batch).map(|part| &**part).collect();
        field(FIRST, &[&self.resource(), &field(SECOND, &entries)])
    }
}

/// A field of bytes, which are joined from parts.
fn field(number: u32, parts: &[&[u8]]) -> Bytes {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = BytesMut::with_capacity(key_len(number) + encoded_len_varint(length as u64) + length);
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(length as u64, &mut out);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Request {
        #[prost(message, repeated, tag = "1")]
        resource_spans: Vec<ResourceSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct ResourceSpans {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        scope_spans: Vec<ScopeSpans>,
    }

    #[derive(Clone, PartialEq, Message)]
    struct ScopeSpans {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        spans: Vec<Span>,
    }

    #[test]
    fn batch_is_one_request() {
        let attributes = vec![KeyValue::text("service.name", "kong")];
        let spans: Vec<_> = ["a", "b"]
            .map(|name| Span { name: name.to_owned(), trace_id: vec![1; 16], ..Span::default() })
            .into();
        let entries: Vec<_> = spans.iter().map(entry).collect();
        let body = Arc::new(Batches::new(attributes.clone())).assemble(&entries);
        let scope = Scope { name: SCOPE.to_owned(), version: SCOPE_VERSION.to_owned() };
        let expected = Request {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        assert_eq!(Request::decode(body).unwrap(), expected);
    }
}
