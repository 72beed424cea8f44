//! Finds members of a JSON object. The rest of the text costs no memory.

use std::borrow::Cow;
use std::collections::HashMap;
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

/// The last member with each of the names that `wanted` has; `None` when the text is no JSON object.
pub(super) fn find<'n, T>(text: &[u8], wanted: &HashMap<&'n str, T>) -> Option<HashMap<&'n str, Member>> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let found = reader.deserialize_map(Finding(wanted)).ok()?;
    reader.end().ok()?;
    Some(found)
}

struct Finding<'w, 'n, T>(&'w HashMap<&'n str, T>);

impl<'de, 'n, T> Visitor<'de> for Finding<'_, 'n, T> {
    type Value = HashMap<&'n str, Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = HashMap::new();
        while let Some(name) = members.next_key::<Cow<'_, str>>()? {
            match self.0.get_key_value(&*name) {
                Some((name, _)) => drop(found.insert(*name, members.next_value()?)),
                None => drop(members.next_value::<IgnoredAny>()?),
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
            let found = find(body.as_bytes(), &HashMap::from([("k", ()), ("x", ())]));
            assert_eq!(found.and_then(|mut found| found.remove("k")), expected, "{body}");
        }
        let deep = format!(r#"{{"j":{}1{},"k":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let found = find(deep.as_bytes(), &HashMap::from([("j", ())]));
        assert_ne!(found.and_then(|mut found| found.remove("j")), Some(Member::Other));
    }
}
