//! The name of a field that the gateway or a plugin writes.

use bytes::Bytes;
use http::HeaderName;

use crate::names::Name;

/// A name as it is written in HTTP/1, and in lower case for everything else. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FieldName {
    written: Bytes,
    lower: HeaderName,
}

impl FieldName {
    /// Reads a name; `None` when no field may have it.
    pub fn new(text: &str) -> Option<Self> {
        let lower = HeaderName::from_bytes(text.as_bytes()).ok()?;
        Some(Self { written: Bytes::copy_from_slice(text.as_bytes()), lower })
    }

    /// As it is written in HTTP/1.
    pub fn written(&self) -> &Bytes {
        &self.written
    }

    /// In lower case.
    pub fn lower(&self) -> &HeaderName {
        &self.lower
    }
}

impl From<&'static Name> for FieldName {
    fn from(name: &'static Name) -> Self {
        Self { written: Bytes::from_static(name.written.as_bytes()), lower: name.lower.clone() }
    }
}

impl From<HeaderName> for FieldName {
    fn from(lower: HeaderName) -> Self {
        Self { written: Bytes::copy_from_slice(lower.as_str().as_bytes()), lower }
    }
}

impl From<&HeaderName> for FieldName {
    fn from(lower: &HeaderName) -> Self {
        lower.clone().into()
    }
}

impl From<&Self> for FieldName {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}
