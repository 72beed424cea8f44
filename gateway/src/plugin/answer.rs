//! The answer to a request, as plugins see and change it on its way to the client.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use smallvec::SmallVec;
use std::fmt::Debug;
use std::ops::Range;

use crate::message::FieldSink;
use crate::names::Name;

/// The header of an answer: the upstream's, or the gateway's own.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The fields, without those for one hop, and without the ones that the gateway adds to every answer.
    pub fields: AnswerFields,
    /// Whether the upstream made it.
    is_from_upstream: bool,
    /// Whether a body follows.
    has_body: bool,
    whole_body: Option<usize>,
    is_refused: bool,
    taps: SmallVec<[Box<dyn Tap>; 1]>,
}

/// Looks at a body on its way to the client.
pub trait Tap: Debug + Send {
    /// Sees the next part.
    fn part(&mut self, part: &Bytes);

    /// Sees the end. `is_complete`: the whole body was passed on.
    fn end(self: Box<Self>, is_complete: bool);
}

impl Answer {
    /// An answer with this status and without a field.
    pub(crate) fn new(status: StatusCode, is_from_upstream: bool, has_body: bool) -> Self {
        let (fields, taps) = (AnswerFields::default(), SmallVec::new());
        Self { status, fields, is_from_upstream, has_body, whole_body: None, is_refused: false, taps }
    }

    /// Whether the upstream made it, and not the gateway.
    pub fn is_from_upstream(&self) -> bool {
        self.is_from_upstream
    }

    /// Whether a body follows: not to `HEAD`, nor with 204 or 304.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// Asks for the whole body, of at most `limit` bytes: it is given to the `body` of the plugin before the
    /// header is sent. A longer body becomes 502. Of several limits the greatest holds.
    pub fn want_body(&mut self, limit: usize) {
        self.whole_body = Some(self.whole_body.map_or(limit, |other| other.max(limit)));
    }

    /// Sends this status without a body in place of the answer. Its other fields stay.
    pub fn refuse(&mut self, status: StatusCode) {
        (self.status, self.is_refused) = (status, true);
        self.fields
            .remove_if(|name, _| name.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case(b"content-")));
    }

    /// Lets `tap` look at the body on its way, if there is one.
    pub fn tap(&mut self, tap: Box<dyn Tap>) {
        self.taps.push(tap);
    }

    /// The most bytes of the body that is wanted whole.
    pub(crate) fn wanted_body(&self) -> Option<usize> {
        self.whole_body.filter(|_| self.has_body && !self.is_refused)
    }

    /// Whether its body is not sent.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Those that look at the body.
    pub(crate) fn take_taps(&mut self) -> SmallVec<[Box<dyn Tap>; 1]> {
        std::mem::take(&mut self.taps)
    }
}

/// Fields in their order, with the names as they were written. Look-ups take names in any case. Bounded as the
/// header that they came from.
#[derive(Clone, Debug, Default)]
pub struct AnswerFields {
    text: BytesMut,
    places: SmallVec<[(Range<u32>, Range<u32>); 24]>,
}

impl AnswerFields {
    /// The names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|(name, value)| (self.part(name), self.part(value)))
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// All values of a field.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |(other, _)| is(other, name)).map(|(_, value)| value)
    }

    /// Whether there is such a field.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a field behind the others.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.received(name.as_bytes(), value.as_ref());
    }

    /// Puts a field in place of all with its name, at the place of the first one.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let Some(at) = self.iter().position(|(other, _)| is(other, name)) else {
            return self.append(name, value);
        };
        self.remove(name);
        let before = self.places.len();
        self.append(name, value);
        // A value that no field may have was left out.
        if self.places.len() > before
            && let Some(place) = self.places.pop()
        {
            self.places.insert(at.min(before), place);
        }
    }

    /// Removes all fields with this name.
    pub fn remove(&mut self, name: &str) {
        let text = &self.text;
        self.places.retain(|(other, _)| !is(part(text, other), name));
    }

    /// Removes the fields that `is_unwanted` says, by name and value.
    pub fn remove_if(&mut self, mut is_unwanted: impl FnMut(&[u8], &[u8]) -> bool) {
        let text = &self.text;
        self.places.retain(|(name, value)| !is_unwanted(part(text, name), part(text, value)));
    }

    /// Gives all fields with one name another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(to.as_bytes());
        let new = start..self.text.len() as u32;
        let text = &self.text;
        for (name, _) in self.places.iter_mut().filter(|(name, _)| is(part(text, name), from)) {
            *name = new.clone();
        }
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn part(&self, place: &Range<u32>) -> &[u8] {
        part(&self.text, place)
    }
}

/// Values with a line break or a NUL are left out: no field may have one.
impl FieldSink for AnswerFields {
    fn known(&mut self, name: &'static Name, value: &[u8]) {
        self.received(name.written.as_bytes(), value);
    }

    fn received(&mut self, name: &[u8], value: &[u8]) {
        if name.is_empty() || value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return;
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(name);
        let middle = self.text.len() as u32;
        self.text.extend_from_slice(value);
        self.places.push((start..middle, middle..self.text.len() as u32));
    }
}

fn part<'t>(text: &'t [u8], place: &Range<u32>) -> &'t [u8] {
    text.get(place.start as usize..place.end as usize).unwrap_or_default()
}

fn is(name: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_edited_in_any_case_and_keep_their_place() {
        let mut fields = AnswerFields::default();
        for (name, value) in [("A", "1"), ("X-One", "2"), ("b", "3"), ("x-one", "4")] {
            fields.append(name, value);
        }
        fields.append("C", "1\r\nD: 2");
        assert_eq!(fields.get_all("X-ONE").collect::<Vec<_>>(), [b"2", b"4"]);
        fields.set("x-ONE", "5");
        fields.set("X-New", "6");
        fields.rename("B", "E");
        fields.remove("a");
        let all: Vec<_> = fields.iter().map(|(name, value)| [name, value].concat()).collect();
        assert_eq!(all, [b"x-ONE5".to_vec(), b"E3".to_vec(), b"X-New6".to_vec()]);
    }
}
