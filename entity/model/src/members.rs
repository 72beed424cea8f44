//! Reads the canonical form of records: JSON objects whose members are fields.
//!
//! A member that this version does not know is skipped, unless its name begins with the mark of a field that
//! must be understood.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};

use crate::field::Field;
use crate::record::Record;

/// The first byte of the member of a field that must be understood.
pub(crate) const MARK: u8 = b'!';

/// How the message of the error about such a field begins. No other message of `serde_json` begins so.
const UNSUPPORTED: &str = "a field that must be understood is unknown: ";

/// The most characters of an unknown field that an error repeats.
const LONGEST: usize = 100;

/// Reads a record.
pub(crate) fn deserialize<'de, R: Record, D: Deserializer<'de>>(deserializer: D) -> Result<R, D::Error> {
    deserializer.deserialize_map(Members(PhantomData))
}

/// The error that a field which must be understood is unknown.
pub(crate) fn unknown<E: Error>(name: &str) -> E {
    let name: String = name.chars().take(LONGEST).collect();
    E::custom(format_args!("{UNSUPPORTED}{name}"))
}

/// The field that must be understood and is unknown, if that is the error.
pub(crate) fn unsupported(error: &serde_json::Error) -> Option<String> {
    let message = error.to_string();
    let named = message.strip_prefix(UNSUPPORTED)?;
    let field = named.rsplit_once(" at line ").map_or(named, |(field, _)| field);
    Some(field.to_owned())
}

struct Members<R>(PhantomData<R>);

impl<'de, R: Record> Visitor<'de> for Members<R> {
    type Value = R;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<R, A::Error> {
        let (mut record, fields) = (R::default(), R::fields());
        let (mut read, mut next) = (0_u128, 0);
        while let Some(field) = members.next_key_seed(Name { fields, next })? {
            let Some(index) = field else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            // Of a record with more fields, only the first 128 are checked for being there twice.
            let bit = u32::try_from(index).ok().and_then(|index| 1_u128.checked_shl(index)).unwrap_or(0);
            if read & bit != 0 {
                return Err(A::Error::duplicate_field(fields[index].name));
            }
            read |= bit;
            record.set(index, &mut members)?;
            next = index + 1;
        }
        Ok(record)
    }
}

/// Reads the name of a member as the index of its field; `None` for one that may be skipped.
struct Name {
    fields: &'static [Field],
    /// The index that is likely: members stand in the order of the fields.
    next: usize,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, member: &str) -> Result<Self::Value, E> {
        let (marked, name) = match member.strip_prefix(char::from(MARK)) {
            Some(name) => (true, name),
            None => (false, member),
        };
        let mut indexes = (self.next..self.fields.len()).chain(0..self.next);
        let is_it = |field: &Field| field.must_understand() == marked && field.name == name;
        match indexes.find(|index| is_it(&self.fields[*index])) {
            None if marked => Err(unknown(name)),
            index => Ok(index),
        }
    }
}
