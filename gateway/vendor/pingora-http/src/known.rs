//! Gibbon: fields whose names are known when the program is written, and which only go out.
//!
//! To insert a field into the two maps of a header costs two hashes of its name, two searches, two copies of
//! the name and now and then the growth of both maps. A proxy sets a dozen fields on every request that
//! nothing will look for before they are written.

use bytes::BufMut;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The name of such a field, as it stands on the wire of HTTP/1.1 and in lower case.
#[derive(Debug)]
pub struct KnownName {
    wire: &'static str,
    lower: HeaderName,
}

impl KnownName {
    /// # Panics
    /// When the two are not the same name.
    pub const fn new(wire: &'static str, lower: &'static str) -> Self {
        assert!(wire.eq_ignore_ascii_case(lower), "the same name twice");
        Self { wire, lower: HeaderName::from_static(lower) }
    }

    /// The name as maps of headers know it.
    pub fn lower(&self) -> &HeaderName {
        &self.lower
    }
}

/// The fields, in the order in which they were set.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownFields(Vec<(&'static KnownName, HeaderValue)>);

impl KnownFields {
    pub(crate) fn push(&mut self, name: &'static KnownName, value: HeaderValue) {
        if self.0.is_empty() {
            self.0.reserve_exact(10);
        }
        self.0.push((name, value));
    }

    pub(crate) fn to_h1_wire(&self, buf: &mut impl BufMut) {
        for (name, value) in &self.0 {
            buf.put_slice(name.wire.as_bytes());
            buf.put_slice(b": ");
            buf.put_slice(value.as_bytes());
            buf.put_slice(b"\r\n");
        }
    }

    /// For HTTP/2, which writes out of a map.
    pub(crate) fn append_to(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            // A map that is full keeps what it has, as in `append_header`, whose error nobody could handle here.
            headers.try_append(name.lower.clone(), value).ok();
        }
    }
}
