//! The fields of entries that an operator adds, replaces or removes.

use std::collections::BTreeMap;

use model::plugins::custom_field::{CustomField, custom_fields};

use super::member::begin_member;

/// What an operator says of the members of an object, and of those within them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    members: Vec<(Box<str>, Said)>,
}

/// The value of a member.
pub(super) type Custom = CustomField;

/// Finds the value of a field that an operator adds.
pub(super) trait Find {
    /// Writes the value; `false` if there is none.
    fn write(&self, wanted: &Custom, out: &mut Vec<u8>) -> bool;
}

#[derive(Clone, Debug, PartialEq)]
enum Said {
    /// The member has this value.
    Is(CustomField),
    /// The member is an object in which these are said.
    Within(Fields),
}

/// What is said of the members of one object while it is written.
#[derive(Clone, Debug)]
pub(super) struct Members<'f> {
    fields: Option<&'f Fields>,
    /// The objects that have been written, by their place among the members.
    written: u128,
}

impl Fields {
    /// Compiles the fields of a configuration.
    pub(super) fn new(programs: Option<&BTreeMap<String, String>>) -> Self {
        let mut fields = Self::default();
        for (parts, field) in custom_fields(programs) {
            fields.say(&parts, field);
        }
        fields
    }

    /// Whether nothing is said.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn say(&mut self, parts: &[String], field: CustomField) {
        let Some((first, rest)) = parts.split_first() else { return };
        let at = self.members.iter().position(|(name, _)| **name == **first);
        let at = at.unwrap_or_else(|| {
            self.members.push((first.as_str().into(), Said::Within(Self::default())));
            self.members.len() - 1
        });
        let said = &mut self.members[at].1;
        match (rest, said) {
            ([], said) => *said = Said::Is(field),
            (rest, Said::Within(within)) => within.say(rest, field),
            // The whole member has a value already.
            (_, Said::Is(_)) => {}
        }
    }
}

impl<'f> Members<'f> {
    /// Of an object of which something may be said.
    pub(super) fn of(fields: &'f Fields) -> Self {
        Self { fields: Some(fields).filter(|fields| !fields.is_empty()), written: 0 }
    }

    /// Of an object of which nothing is said.
    pub(super) const fn none() -> Self {
        Self { fields: None, written: 0 }
    }

    /// Whether the member is written in another way, or not at all.
    pub(super) fn replaces(&self, name: &str) -> bool {
        matches!(self.find(name), Some((_, Said::Is(_))))
    }

    /// What is said of an object that is a member.
    pub(super) fn within(&mut self, name: &str) -> Members<'f> {
        match self.find(name) {
            Some((at, Said::Within(fields))) => {
                self.written |= 1 << at;
                Members::of(fields)
            }
            _ => Members::none(),
        }
    }

    /// Writes the members that are added.
    pub(super) fn add(&self, out: &mut Vec<u8>, is_first: &mut bool, find: &dyn Find) {
        let members = self.fields.map(|fields| &fields.members[..]).unwrap_or_default();
        for (at, (name, said)) in members.iter().enumerate() {
            let before = (out.len(), *is_first);
            begin_member(out, is_first, name.as_bytes());
            let has_value = match said {
                Said::Is(field) => find.write(field, out),
                Said::Within(_) if self.written & (1 << at) != 0 => false,
                Said::Within(fields) => add_object(fields, out, find),
            };
            if !has_value {
                out.truncate(before.0);
                *is_first = before.1;
            }
        }
    }

    fn find(&self, name: &str) -> Option<(usize, &'f Said)> {
        let members = self.fields?.members.iter().enumerate();
        members.into_iter().find(|(_, (other, _))| **other == *name).map(|(at, (_, said))| (at, said))
    }
}

/// Writes an object that has only what is added; `false` if nothing is.
fn add_object(fields: &Fields, out: &mut Vec<u8>, find: &dyn Find) -> bool {
    let mut is_first = true;
    out.push(b'{');
    Members::of(fields).add(out, &mut is_first, find);
    out.push(b'}');
    !is_first
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json_text::write_text;
    use crate::plugin::log::json::Object;

    struct Found;

    impl Find for Found {
        fn write(&self, wanted: &CustomField, out: &mut Vec<u8>) -> bool {
            match wanted {
                CustomField::Text(text) => write_text(out, text.as_bytes()),
                CustomField::Method => write_text(out, b"GET"),
                _ => return false,
            }
            true
        }
    }

    fn written(programs: &[(&str, &str)]) -> Value {
        let programs = programs.iter().map(|(name, program)| ((*name).to_owned(), (*program).to_owned()));
        let fields = Fields::new(Some(&programs.collect()));
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out, Members::of(&fields));
        object.text("a", b"1");
        if let Some(mut inner) = object.object("b") {
            inner.text("c", b"2");
            inner.text("d", b"3");
            inner.end(&Found);
        }
        object.end(&Found);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn members_are_added_replaced_and_removed() {
        for (programs, expected) in [
            (&[][..], json!({ "a": "1", "b": { "c": "2", "d": "3" } })),
            (&[("a", "return nil")], json!({ "b": { "c": "2", "d": "3" } })),
            (&[("a", "return 'x'")], json!({ "a": "x", "b": { "c": "2", "d": "3" } })),
            (&[("b.c", "return nil"), ("b.d", "return nil")], json!({ "a": "1", "b": {} })),
            (
                &[("b.c", "return 'x'"), ("b.e", "return kong.request.get_method()")],
                json!({ "a": "1", "b": { "c": "x", "d": "3", "e": "GET" } }),
            ),
            (&[("b", "return nil"), ("b.c", "return 'x'")], json!({ "a": "1" })),
            (
                &[("n.o.p", "return 'x'"), ("n.q", "return nil"), ("m.q", "return nil")],
                json!({ "a": "1", "b": { "c": "2", "d": "3" }, "n": { "o": { "p": "x" } } }),
            ),
            (&[("a\\.b", "return 'x'")], json!({ "a": "1", "b": { "c": "2", "d": "3" }, "a.b": "x" })),
        ] {
            assert_eq!(written(programs), expected, "{programs:?}");
        }
    }
}
