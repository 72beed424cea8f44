//! Arguments of a query, or of a form in a body: names and values, percent-encoded (WHATWG URL, section 5.1).
//! An argument is found and removed without a change to the bytes of the others.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use percent_encoding::percent_decode;

/// The values of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Values<'a> {
    /// The name is not there, or has no value at all.
    None,
    /// One value, decoded; it may be empty.
    One(Cow<'a, [u8]>),
    /// Several.
    Many,
}

/// An argument.
#[derive(Debug)]
struct Argument<'a> {
    /// Its place in the text.
    place: Range<usize>,
    name: Cow<'a, [u8]>,
    /// The value, still encoded; `None` without "=".
    value: Option<&'a [u8]>,
}

/// The values of the arguments with this name. A single one without "=" counts as not there.
pub(super) fn values<'a>(text: &'a [u8], name: &str) -> Values<'a> {
    let mut named = arguments(text).filter(|argument| *argument.name == *name.as_bytes());
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => Values::Many,
        (Some(Argument { value: Some(value), .. }), None) => Values::One(decoded(value)),
        _ => Values::None,
    }
}

/// The same for each name of `all`, in one pass.
pub(super) fn fill<'a>(text: &'a [u8], all: &mut HashMap<&str, Values<'a>>) {
    let mut seen = HashSet::new();
    for argument in arguments(text) {
        let name = str::from_utf8(&argument.name).ok();
        let Some((&name, _)) = name.and_then(|name| all.get_key_value(name)) else { continue };
        let value = match argument.value {
            _ if !seen.insert(name) => Values::Many,
            Some(value) => Values::One(decoded(value)),
            None => Values::None,
        };
        all.insert(name, value);
    }
}

/// Every value of the arguments with this name, decoded, in their order; `None` for one without "=".
pub(super) fn all_values<'a>(text: &'a [u8], name: &'a str) -> impl Iterator<Item = Option<Cow<'a, [u8]>>> {
    arguments(text)
        .filter(move |argument| *argument.name == *name.as_bytes())
        .map(|argument| argument.value.map(decoded))
}

/// The text without the arguments with this name; `None` when there are none.
pub(super) fn without(text: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut rest = Vec::with_capacity(text.len());
    let mut found = false;
    for argument in arguments(text) {
        if *argument.name == *name.as_bytes() {
            found = true;
            continue;
        }
        if !rest.is_empty() {
            rest.push(b'&');
        }
        rest.extend_from_slice(text.get(argument.place).unwrap_or_default());
    }
    found.then_some(rest)
}

fn arguments(text: &[u8]) -> impl Iterator<Item = Argument<'_>> {
    let mut start = 0;
    text.split(|byte| *byte == b'&').filter_map(move |part| {
        let place = start..start + part.len();
        start = place.end + 1;
        let (name, value) = match memchr::memchr(b'=', part) {
            Some(at) => (part.get(..at)?, part.get(at + 1..)),
            None => (part, None),
        };
        Some(Argument { place, name: decoded(name), value })
    })
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'+', text).is_none() {
        return percent_decode(text).into();
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_no_one_or_many_values() {
        for (text, expected) in [
            ("", Values::None),
            ("b=1", Values::None),
            ("a", Values::None),
            ("a[]=1", Values::None),
            ("A=1", Values::None),
            ("a=", Values::One(b"".into())),
            ("a=1", Values::One(b"1".into())),
            ("b=2&a=1=2&c", Values::One(b"1=2".into())),
            ("%61=%31+2", Values::One(b"1 2".into())),
            ("a=%", Values::One(b"%".into())),
            ("a=1&a=1", Values::Many),
            ("a&a=1", Values::Many),
        ] {
            assert_eq!(values(text.as_bytes(), "a"), expected, "{text}");
            let mut all = HashMap::from([("x", Values::None), ("a", Values::None)]);
            fill(text.as_bytes(), &mut all);
            assert_eq!(all, HashMap::from([("x", Values::None), ("a", expected)]), "{text}");
        }
        let all: Vec<_> = all_values(b"a=1&b=2&a&a=%33", "a").collect();
        assert_eq!(all, [Some(b"1".into()), None, Some(b"3".into())]);
    }

    #[test]
    fn others_stay_as_they_are() {
        for (text, rest) in [
            ("a=1", Some("")),
            ("b=%20+&a=1&&c", Some("b=%20+&&c")),
            ("a=1&b=2&%61", Some("b=2")),
            ("b=a", None),
            ("", None),
        ] {
            assert_eq!(without(text.as_bytes(), "a"), rest.map(|rest| rest.as_bytes().to_vec()), "{text}");
        }
    }
}
