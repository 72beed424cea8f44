//! The name of a field that the gateway or a plugin writes.

use std::sync::Arc;

use http::HeaderName;

use crate::names::Name;

/// A name as it is written in HTTP/1, and in lower case for everything else. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FieldName(Form);

#[derive(Clone, Debug)]
enum Form {
    /// One of the gateway's own.
    Known(&'static Name),
    Other(Arc<Other>),
}

#[derive(Debug)]
struct Other {
    written: Box<str>,
    lower: HeaderName,
}

impl FieldName {
    /// Bytes of a name that is none of the gateway's own, beside its text in both forms.
    pub const BYTES: usize = size_of::<Self>() + size_of::<Other>() + 2 * size_of::<usize>();

    /// Reads a name; `None` when no field may have it.
    pub fn new(text: &str) -> Option<Self> {
        let lower = HeaderName::from_bytes(text.as_bytes()).ok()?;
        Some(Self(Form::Other(Arc::new(Other { written: text.into(), lower }))))
    }

    /// As it is written in HTTP/1.
    pub fn written(&self) -> &str {
        match &self.0 {
            Form::Known(name) => name.written,
            Form::Other(name) => &name.written,
        }
    }

    /// In lower case.
    pub fn lower(&self) -> &HeaderName {
        match &self.0 {
            Form::Known(name) => &name.lower,
            Form::Other(name) => &name.lower,
        }
    }
}

impl From<&'static Name> for FieldName {
    fn from(name: &'static Name) -> Self {
        Self(Form::Known(name))
    }
}

impl From<HeaderName> for FieldName {
    fn from(lower: HeaderName) -> Self {
        Self(Form::Other(Arc::new(Other { written: lower.as_str().into(), lower })))
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
