//! The parts of a message that both sides of the gateway share: header fields, and how a body is delimited.

mod field_lines;
mod field_name;
mod field_value;
mod named_header;

use std::ops::{Deref, Range};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

pub use self::field_lines::FieldLines;
pub use self::field_name::FieldName;
pub use self::field_value::FieldValue;
pub use self::named_header::NamedHeader;
use crate::names::Name;

/// Header fields, in the form in which they came.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are text, and a message has one")]
pub enum Fields {
    /// Text of HTTP/1, with the names as they were written.
    Text(TextFields),
    /// Fields of HTTP/2.
    Map(HeaderMap),
}

/// Header fields of HTTP/1: places in the text of the header, and fields that were added to it.
#[derive(Clone, Debug, Default)]
pub struct TextFields {
    text: Bytes,
    places: SmallVec<[FieldPlace; 16]>,
    added: FieldLines,
}

/// The places of one field.
#[derive(Clone, Debug, Default)]
struct FieldPlace {
    name: Range<u32>,
    value: Range<u32>,
}

/// Where the fields of a header are written.
pub trait FieldSink {
    /// Writes a field of the gateway's own. A value that no field may have is left out.
    fn known(&mut self, name: &'static Name, value: &[u8]);

    /// Writes a field that was received.
    fn received(&mut self, name: &[u8], value: &[u8]);

    /// Writes a field of the gateway's own whose value is always the same.
    fn fixed(&mut self, name: &'static Name, value: &'static str) {
        self.known(name, value.as_bytes());
    }

    /// Writes a field of the gateway's own whose value no other message has.
    fn unique(&mut self, name: &'static Name, value: &[u8]) {
        self.known(name, value);
    }

    /// Writes a number as a field of the gateway's own.
    fn known_number(&mut self, name: &'static Name, number: u64) {
        self.known(name, &digits(number));
    }

    /// Writes fields that were added.
    fn lines(&mut self, lines: &FieldLines) {
        lines.iter().for_each(|(name, value)| self.received(name.written().as_bytes(), value));
    }
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// By its number of bytes, which is not 0.
    Length(u64),
    /// By chunks (RFC 9112, section 7.1).
    Chunked,
    /// By the end of the connection, or of the stream of HTTP/2.
    Close,
}

impl Fields {
    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (text, map) = match self {
            Self::Text(fields) => (Some(fields.iter()), None),
            Self::Map(fields) => (None, Some(fields.iter())),
        };
        let map = map.into_iter().flatten();
        text.into_iter()
            .flatten()
            .chain(map.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())))
    }
}

impl TextFields {
    /// Creates the fields of the header `text`. Each of `fields` is a name and a value that lie within `text`.
    pub fn new<'t>(text: Bytes, fields: impl Iterator<Item = (&'t str, &'t [u8])>) -> Self {
        let place = |part: &[u8]| {
            let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
            // A header is smaller than 4 GiB.
            start as u32..(start + part.len()) as u32
        };
        let places = fields.map(|(name, value)| {
            let (name, value) = (place(name.as_bytes()), place(value));
            FieldPlace { name, value }
        });
        let places = places.collect();
        Self { text, places, added: FieldLines::default() }
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.sent().chain(self.added())
    }

    /// Those that came.
    pub fn sent(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|place| (self.part(&place.name), self.part(&place.value)))
    }

    /// Those that were added.
    pub fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.added.iter().map(|(name, value)| (name.written().as_bytes(), value))
    }

    /// Adds a field behind the others, unless no field may have this value.
    pub fn append(&mut self, name: FieldName, value: &[u8]) {
        self.added.append(name, value);
    }

    /// Adds fields behind the others.
    pub fn extend(&mut self, added: FieldLines) {
        self.added.extend(added);
    }

    /// Removes all fields with this name.
    pub fn remove(&mut self, name: &HeaderName) {
        let (text, lower) = (&self.text, name.as_str().as_bytes());
        self.places.retain(|place| !part(text, &place.name).eq_ignore_ascii_case(lower));
        self.added.remove(name);
    }

    fn part(&self, place: &Range<u32>) -> &[u8] {
        part(&self.text, place)
    }
}

fn part<'t>(text: &'t [u8], place: &Range<u32>) -> &'t [u8] {
    text.get(place.start as usize..place.end as usize).unwrap_or_default()
}

/// A part of a body that may wait for long: a small one would keep the whole buffer in which it came.
pub fn unshared(part: Bytes) -> Bytes {
    /// Larger parts are most of their buffer.
    const SMALL: usize = 4 * 1024;
    if part.len() <= SMALL { Bytes::copy_from_slice(&part) } else { part }
}

/// Whether the value of a field may have this byte.
pub fn is_field_byte(byte: u8) -> bool {
    (byte >= b' ') & (byte != 0x7F) | (byte == b'\t')
}

/// Whether a field may have this value.
fn is_field_value(value: &[u8]) -> bool {
    // Without an early end: the processor looks at many bytes at once.
    value.iter().fold(true, |all, byte| all & is_field_byte(*byte))
}

/// The digits of a number.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    /// They stand at the end.
    text: [u8; 20],
    begin: u8,
}

/// The digits of `number`.
pub fn digits(number: u64) -> Digits {
    let mut text = [b'0'; 20];
    let mut buffer = itoa::Buffer::new();
    let written = buffer.format(number).as_bytes();
    let begin = text.len() - written.len();
    text[begin..].copy_from_slice(written);
    Digits { text, begin: begin as u8 }
}

impl Deref for Digits {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.text.get(usize::from(self.begin)..).unwrap_or_default()
    }
}

/// Text of HTTP/1. Values were parsed from a header, or are the gateway's own.
impl FieldSink for BytesMut {
    fn known(&mut self, name: &'static Name, value: &[u8]) {
        self.received(name.written.as_bytes(), value);
    }

    fn received(&mut self, name: &[u8], value: &[u8]) {
        self.reserve(name.len() + value.len() + 4);
        self.extend_from_slice(name);
        self.extend_from_slice(b": ");
        self.extend_from_slice(value);
        self.extend_from_slice(b"\r\n");
    }

    fn lines(&mut self, lines: &FieldLines) {
        self.extend_from_slice(lines.text());
    }
}

/// Fields of HTTP/2. Their values share one block of memory.
#[derive(Debug)]
pub struct MapSink {
    fields: HeaderMap,
    values: BytesMut,
}

impl MapSink {
    /// Creates an empty one, with room for `fields` fields of usual length.
    pub fn with_capacity(fields: usize) -> Self {
        /// Bytes of a usual value.
        const USUAL: usize = 24;
        Self { fields: HeaderMap::with_capacity(fields), values: BytesMut::with_capacity(fields * USUAL) }
    }

    /// The fields.
    pub fn into_fields(self) -> HeaderMap {
        self.fields
    }

    fn value(&mut self, value: &[u8]) -> Option<HeaderValue> {
        self.values.extend_from_slice(value);
        HeaderValue::from_maybe_shared(self.values.split().freeze()).ok()
    }
}

impl FieldSink for MapSink {
    fn known(&mut self, name: &'static Name, value: &[u8]) {
        if let Some(value) = self.value(value) {
            self.fields.append(&name.lower, value);
        }
    }

    fn received(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name), self.value(value)) {
            self.fields.append(name, value);
        }
    }

    fn fixed(&mut self, name: &'static Name, value: &'static str) {
        self.fields.append(&name.lower, HeaderValue::from_static(value));
    }

    /// Marks the value as one that is never indexed (RFC 7541, section 6.2.3). The encoder would keep it, and
    /// compare the value of the next message with all that it keeps.
    fn unique(&mut self, name: &'static Name, value: &[u8]) {
        if let Some(mut value) = self.value(value) {
            value.set_sensitive(true);
            self.fields.append(&name.lower, value);
        }
    }

    fn lines(&mut self, lines: &FieldLines) {
        for (name, value) in lines.iter() {
            if let Some(value) = self.value(value) {
                self.fields.append(name.lower(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_values_are_not_indexed() {
        let mut sink = MapSink::with_capacity(2);
        sink.unique(&crate::names::REQUEST_ID, b"1");
        sink.known(&crate::names::VIA, b"1");
        let fields = sink.into_fields();
        assert_eq!(
            (&fields["x-kong-request-id"], &fields["via"]),
            (&"1".parse().unwrap(), &"1".parse().unwrap())
        );
        assert!(fields["x-kong-request-id"].is_sensitive() && !fields["via"].is_sensitive());
    }

    #[test]
    fn numbers_are_written_as_everywhere() {
        for number in [0, 7, 10, 255, 65_535, u64::MAX] {
            assert_eq!(&digits(number)[..], number.to_string().as_bytes());
        }
    }
}
