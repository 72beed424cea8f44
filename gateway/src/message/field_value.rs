//! The value of a field that the gateway or a plugin writes.

use http::HeaderValue;

/// A value. A number needs no memory of its own, and its digits are made when it is written.
#[derive(Clone, Debug)]
pub enum FieldValue {
    /// A whole number.
    Number(u64),
    /// Any other text that a field may have.
    Text(Box<HeaderValue>),
}

const _: () = assert!(size_of::<FieldValue>() == 2 * size_of::<usize>());

impl From<u64> for FieldValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<HeaderValue> for FieldValue {
    fn from(text: HeaderValue) -> Self {
        Self::Text(Box::new(text))
    }
}

impl From<FieldValue> for HeaderValue {
    fn from(value: FieldValue) -> Self {
        match value {
            FieldValue::Number(number) => Self::from(number),
            FieldValue::Text(text) => *text,
        }
    }
}
