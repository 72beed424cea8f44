//! JSON that is written straight into a buffer, with the fields that an operator adds or removes.

use std::net::IpAddr;

use super::custom::{Find, Members};
use super::member::begin_member;
use crate::json_text::{write_display, write_signed, write_text, write_texts};
use crate::message::digits;

/// Writes the members of one object. It is closed by [`Object::end`].
#[derive(Debug)]
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
    /// What an operator says of the members.
    custom: Members<'o>,
}

impl<'o> Object<'o> {
    /// Begins an object.
    pub(super) fn begin(out: &'o mut Vec<u8>, custom: Members<'o>) -> Self {
        out.push(b'{');
        Self { out, is_first: true, custom }
    }

    /// Begins a member, unless an operator has removed or replaced it. The value is written next.
    pub(super) fn member(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        if self.custom.replaces(name) {
            return None;
        }
        self.name(name.as_bytes());
        Some(self.out)
    }

    /// Begins a member that is an object.
    pub(super) fn object(&mut self, name: &str) -> Option<Object<'_>> {
        if self.custom.replaces(name) {
            return None;
        }
        self.name(name.as_bytes());
        let within = self.custom.within(name);
        Some(Object::begin(self.out, within))
    }

    /// Writes a text.
    pub(super) fn text(&mut self, name: &str, text: &[u8]) {
        if let Some(out) = self.member(name) {
            write_text(out, text);
        }
    }

    /// Writes a number.
    pub(super) fn number(&mut self, name: &str, number: u64) {
        if let Some(out) = self.member(name) {
            out.extend_from_slice(&digits(number));
        }
    }

    /// Writes a number that may be negative.
    pub(super) fn signed(&mut self, name: &str, number: i64) {
        if let Some(out) = self.member(name) {
            write_signed(out, number);
        }
    }

    /// Writes a boolean.
    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        if let Some(out) = self.member(name) {
            out.extend_from_slice(if value { b"true" } else { b"false" });
        }
    }

    /// Writes an address.
    pub(super) fn address(&mut self, name: &str, address: IpAddr) {
        if let Some(out) = self.member(name) {
            write_display(out, &address);
        }
    }

    /// Writes what its text shows, such as an id.
    pub(super) fn display(&mut self, name: &str, shown: &impl std::fmt::Display) {
        if let Some(out) = self.member(name) {
            write_display(out, shown);
        }
    }

    /// Writes an array of texts.
    pub(super) fn texts<'t>(&mut self, name: &str, texts: impl Iterator<Item = &'t [u8]>) {
        if let Some(out) = self.member(name) {
            write_texts(out, texts);
        }
    }

    /// Writes the members that an operator adds, and closes the object. `find` finds the values.
    pub(super) fn end(self, find: &dyn Find) {
        let Self { out, mut is_first, custom } = self;
        custom.add(out, &mut is_first, find);
        out.push(b'}');
    }

    fn name(&mut self, name: &[u8]) {
        begin_member(self.out, &mut self.is_first, name);
    }
}
