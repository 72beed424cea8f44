//! Fields that are added to a message, as the lines in which HTTP/1 writes them.

mod spare;

use std::ops::Range;

use http::HeaderName;
use uuid::Uuid;

use super::{FieldName, FieldValue, is_field_value};

/// Field lines (RFC 9112, section 5). HTTP/1 writes all of them at once.
#[derive(Clone, Debug, Default)]
pub struct FieldLines(Option<Box<Lines>>);

/// Some lines: most messages have none.
#[derive(Clone, Debug, Default)]
struct Lines {
    text: Vec<u8>,
    fields: Vec<Line>,
}

/// One field.
#[derive(Clone, Debug)]
struct Line {
    name: FieldName,
    /// The place of the value in the text. The name is in front of it.
    value: Range<u32>,
}

/// What is between a name and its value.
const COLON: &[u8] = b": ";
/// What ends a line.
const END: &[u8] = b"\r\n";

impl FieldLines {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All of them, as HTTP/1 writes them.
    pub fn text(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |lines| &lines.text)
    }

    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&FieldName, &[u8])> {
        // A plain list, of which every message is asked: most have none.
        let (fields, text) = self.0.as_ref().map_or((&[][..], &[][..]), |lines| (&lines.fields, &lines.text));
        fields.iter().map(|line| (&line.name, line.value_in(text)))
    }

    /// Whether one has this name, in any case.
    pub fn has(&self, name: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|lines| lines.has(name))
    }

    /// Adds a field behind the others. Returns false, and adds nothing, if no field may have this value.
    pub fn append(&mut self, name: FieldName, value: &[u8]) -> bool {
        let may_be = is_field_value(value);
        if may_be {
            self.lines().push(name, value);
        }
        may_be
    }

    /// Adds a field behind the others.
    pub fn add(&mut self, name: FieldName, value: &FieldValue) {
        let lines = self.lines();
        match value {
            FieldValue::Number(number) => lines.push(name, itoa::Buffer::new().format(*number).as_bytes()),
            FieldValue::Text(text) => lines.push(name, text.as_bytes()),
        }
    }

    /// Adds an id as a field behind the others.
    pub fn add_id(&mut self, name: FieldName, id: &Uuid) {
        let mut buffer = Uuid::encode_buffer();
        self.lines().push(name, id.hyphenated().encode_lower(&mut buffer).as_bytes());
    }

    /// Removes the fields with this name, and adds one behind the others.
    pub fn set(&mut self, name: FieldName, value: &FieldValue) {
        self.remove(name.lower());
        self.add(name, value);
    }

    /// Adds other fields behind these.
    pub fn extend(&mut self, others: Self) {
        if self.is_empty() {
            *self = others;
        } else {
            others.iter().for_each(|(name, value)| self.lines().push(name.clone(), value));
        }
    }

    /// Removes all fields with this name.
    pub fn remove(&mut self, name: &HeaderName) {
        if !self.has(name.as_str().as_bytes()) {
            return;
        }
        let mut rest = Self::default();
        self.iter()
            .filter(|(other, _)| other.lower() != name)
            .for_each(|(other, value)| rest.lines().push(other.clone(), value));
        *self = rest;
    }

    fn lines(&mut self) -> &mut Lines {
        self.0.get_or_insert_with(spare::take)
    }
}

impl Lines {
    fn has(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|line| line.name.written().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Adds a field, which may have this value: a line break in it would begin another field.
    fn push(&mut self, name: FieldName, value: &[u8]) {
        debug_assert!(is_field_value(value));
        let text = &mut self.text;
        text.extend_from_slice(name.written().as_bytes());
        text.extend_from_slice(COLON);
        let start = text.len() as u32;
        text.extend_from_slice(value);
        let value = start..text.len() as u32;
        text.extend_from_slice(END);
        self.fields.push(Line { name, value });
    }
}

impl Line {
    fn value_in<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.value.start as usize..self.value.end as usize).unwrap_or_default()
    }
}

impl Drop for FieldLines {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(spare::give_back);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use http::HeaderValue;

    use super::*;
    use crate::message::{FieldSink, MapSink};
    use crate::names;

    fn name(text: &str) -> FieldName {
        FieldName::new(text).unwrap()
    }

    fn written(lines: &FieldLines) -> String {
        let mut text = BytesMut::new();
        text.lines(lines);
        let all: Vec<u8> = lines
            .iter()
            .flat_map(|(name, value)| [name.written().as_bytes(), b": ", value, b"\r\n"].concat())
            .collect();
        assert_eq!(all, &text[..]);
        let mut map = MapSink::with_capacity(4);
        map.lines(lines);
        let mut expected = MapSink::with_capacity(4);
        lines.iter().for_each(|(name, value)| expected.received(name.written().as_bytes(), value));
        assert_eq!(map.into_fields(), expected.into_fields());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn fields_are_added_replaced_and_removed() {
        let mut lines = FieldLines::default();
        assert!(lines.is_empty() && written(&lines).is_empty());
        assert!(lines.append(name("X-A"), b"1") && lines.append(name("X-A"), b""));
        for value in [&b"a\r\nX-B: 1"[..], b"a\n", b"\r", b"\0", b"\x7F"] {
            assert!(!lines.append(name("X-A"), value), "{value:?}");
        }
        lines.set((&names::VIA).into(), &7_u64.into());
        assert_eq!(written(&lines), "X-A: 1\r\nX-A: \r\nVia: 7\r\n");
        assert!(lines.has(b"x-a") && lines.has(b"VIA") && !lines.has(b"x-"));
        lines.set(name("x-a"), &HeaderValue::from_static("2").into());
        lines.add_id(name("X-Id"), &Uuid::nil());
        assert_eq!(lines.iter().last().unwrap().1, Uuid::nil().to_string().as_bytes());
        lines.remove(&HeaderName::from_static("x-id"));
        assert_eq!(written(&lines), "Via: 7\r\nx-a: 2\r\n");
        let mut others = FieldLines::default();
        others.extend(lines.clone());
        assert_eq!(written(&others), written(&lines));
        lines.extend(others);
        assert_eq!(written(&lines), "Via: 7\r\nx-a: 2\r\nVia: 7\r\nx-a: 2\r\n");
        lines.remove(&HeaderName::from_static("x-a"));
        assert_eq!(written(&lines), "Via: 7\r\nVia: 7\r\n");
        lines.remove(&HeaderName::from_static("via"));
        assert!(lines.is_empty() && written(&lines).is_empty());
    }
}
