//! The value of a field that the gateway or a plugin writes.

use http::HeaderValue;

use super::{Digits, FieldName, FieldSink, digits};

/// A value. A number needs no memory of its own, and its digits are made when it is written: values are moved a few
/// times before, and those of two words move fast.
#[derive(Clone, Debug)]
pub enum FieldValue {
    /// A whole number.
    Number(u64),
    /// Any other text that a field may have.
    Text(Box<HeaderValue>),
}

/// The text of a value.
#[derive(Debug)]
pub enum FieldText<'v> {
    /// That of a number.
    Number(Digits),
    /// Any other.
    Text(&'v HeaderValue),
}

const _: () = assert!(size_of::<FieldValue>() == 2 * size_of::<usize>());

impl FieldValue {
    /// Its text.
    pub fn text(&self) -> FieldText<'_> {
        match self {
            Self::Number(number) => FieldText::Number(digits(*number)),
            Self::Text(text) => FieldText::Text(text),
        }
    }

    /// Writes it as the value of a field.
    pub fn write(&self, sink: &mut dyn FieldSink, name: &FieldName) {
        let name = name.written().as_bytes();
        match self {
            Self::Number(number) => sink.received(name, itoa::Buffer::new().format(*number).as_bytes()),
            Self::Text(text) => sink.received(name, text.as_bytes()),
        }
    }
}

impl AsRef<[u8]> for FieldText<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Number(digits) => digits,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

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
