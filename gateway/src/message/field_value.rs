//! The value of a field that the gateway or a plugin writes.

use http::HeaderValue;

use super::{Digits, digits};

/// A value. A number needs no memory of its own.
#[derive(Clone, Debug)]
pub enum FieldValue {
    /// A whole number.
    Number(Digits),
    /// Any other text that a field may have.
    Text(HeaderValue),
}

impl AsRef<[u8]> for FieldValue {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Number(digits) => digits,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

impl From<u64> for FieldValue {
    fn from(number: u64) -> Self {
        Self::Number(digits(number))
    }
}

impl From<HeaderValue> for FieldValue {
    fn from(text: HeaderValue) -> Self {
        Self::Text(text)
    }
}

impl From<FieldValue> for HeaderValue {
    fn from(value: FieldValue) -> Self {
        match value {
            // Digits can stand in every field.
            FieldValue::Number(digits) => Self::from_bytes(&digits).unwrap_or(Self::from_static("0")),
            FieldValue::Text(text) => text,
        }
    }
}
