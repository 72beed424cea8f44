//! Finds a member of a JSON object. The rest of the text costs no memory.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A member of a JSON object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Member {
    Text(String),
    /// A list or an object.
    Several,
    /// A number, a truth value or null.
    Other,
}

/// The last member with this name; `None` when there is none, or the text is no JSON object.
pub(super) fn find(text: &[u8], name: &str) -> Option<Member> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let found = reader.deserialize_map(Finding(name)).ok()?;
    reader.end().ok()?;
    found
}

struct Finding<'n>(&'n str);

impl<'de> Visitor<'de> for Finding<'_> {
    type Value = Option<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            if name == self.0 {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfMember)
    }
}

struct OfMember;

impl<'de> Visitor<'de> for OfMember {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Member, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Several)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Several)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        let text = |text: &str| Some(Member::Text(text.to_owned()));
        for (body, expected) in [
            (r#"{"k":"a"}"#, text("a")),
            (r#"{"j":{"k":"b"},"\u006b":"\u0061"}"#, text("a")),
            (r#"{"k":"b","k":"a"}"#, text("a")),
            (r#"{"k":["a",{}]}"#, Some(Member::Several)),
            (r#"{"k":{"a":1}}"#, Some(Member::Several)),
            (r#"{"k":null}"#, Some(Member::Other)),
            (r#"{"k":-1.5e9}"#, Some(Member::Other)),
            (r#"{"k":true}"#, Some(Member::Other)),
            (r#"{"j":"a"}"#, None),
            (r#"{"k":"a"} x"#, None),
            (r#"{"k":"a","j":}"#, None),
            (r#"["k"]"#, None),
            ("", None),
        ] {
            assert_eq!(find(body.as_bytes(), "k"), expected, "{body}");
        }
        let deep = format!(r#"{{"j":{}1{},"k":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_ne!(find(deep.as_bytes(), "j"), Some(Member::Other));
    }
}
