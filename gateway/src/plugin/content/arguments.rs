//! The arguments of a query or of a form, decoded.

use super::{ENTRIES, TooManyEntries};

/// Arguments in their order. One without an equals sign has no value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::plugin) struct Arguments(Vec<Argument>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Arguments {
    /// Decodes a query or a form.
    ///
    /// # Errors
    /// When there are more arguments than entries may be.
    pub(in crate::plugin) fn parse(text: &[u8]) -> Result<Self, TooManyEntries> {
        let mut all = Vec::new();
        for piece in text.split(|byte| *byte == b'&').filter(|piece| !piece.is_empty()) {
            if all.len() == ENTRIES {
                return Err(TooManyEntries);
            }
            let (name, value) = match memchr::memchr(b'=', piece) {
                Some(at) => (&piece[..at], Some(decode(&piece[at + 1..]))),
                None => (piece, None),
            };
            all.push(Argument { name: decode(name), value });
        }
        Ok(Self(all))
    }

    /// Encodes them: every byte but letters, digits and `-._~` is encoded.
    pub(in crate::plugin) fn encode(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for argument in &self.0 {
            if !text.is_empty() {
                text.push(b'&');
            }
            encode_component(&argument.name, &mut text);
            if let Some(value) = &argument.value {
                text.push(b'=');
                encode_component(value, &mut text);
            }
        }
        text
    }

    /// Whether there are none.
    pub(in crate::plugin) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this name.
    pub(in crate::plugin) fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|argument| argument.name == name)
    }

    /// The first value of this name. An argument without a value is `true`, as for Kong.
    pub(in crate::plugin) fn first(&self, name: &[u8]) -> Option<&[u8]> {
        let found = self.0.iter().find(|argument| argument.name == name)?;
        Some(found.value.as_deref().unwrap_or(b"true"))
    }

    /// All names and values in their order.
    pub(in crate::plugin) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0.iter().map(|argument| (argument.name.as_slice(), argument.value.as_deref()))
    }

    /// Removes all of this name. Returns whether there was one.
    pub(in crate::plugin) fn remove(&mut self, name: &[u8]) -> bool {
        let before = self.0.len();
        self.0.retain(|argument| argument.name != name);
        self.0.len() < before
    }

    /// Gives all of one name another one, in place of those that have it. Returns whether there was one.
    pub(in crate::plugin) fn rename(&mut self, old: &[u8], new: &[u8]) -> bool {
        if old == new || !self.contains(old) {
            return false;
        }
        self.remove(new);
        self.0
            .iter_mut()
            .filter(|argument| argument.name == old)
            .for_each(|argument| argument.name = new.to_vec());
        true
    }

    /// Replaces all of a name by one value, if there is one. Returns whether there was.
    pub(in crate::plugin) fn replace(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some(first) = self.0.iter().position(|argument| argument.name == name) else { return false };
        self.0[first].value = Some(value.to_vec());
        let mut index = 0;
        self.0.retain(|argument| {
            index += 1;
            index <= first + 1 || argument.name != name
        });
        true
    }

    /// Adds one, if there is none of its name. Returns whether it was added.
    pub(in crate::plugin) fn add(&mut self, name: &[u8], value: &[u8]) -> bool {
        let absent = !self.contains(name);
        if absent {
            self.append(name, Some(value));
        }
        absent
    }

    /// Adds one.
    pub(in crate::plugin) fn append(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.0.push(Argument { name: name.to_vec(), value: value.map(<[u8]>::to_vec) });
    }
}

/// Encodes every byte but letters, digits and `-._~`.
pub(in crate::plugin) fn encode_component(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Decodes percent-encodings, and blanks that are written as a plus sign.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let encoded = (byte == b'%').then(|| hex_byte(behind)).flatten();
        decoded.push(match (byte, encoded) {
            (_, Some(byte)) => byte,
            (b'+', None) => b' ',
            (byte, None) => byte,
        });
        rest = if encoded.is_some() { &behind[2..] } else { behind };
    }
    decoded
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(query: &str, change: impl FnOnce(&mut Arguments)) -> String {
        let mut arguments = Arguments::parse(query.as_bytes()).unwrap();
        change(&mut arguments);
        String::from_utf8(arguments.encode()).unwrap()
    }

    #[test]
    fn arguments_are_encoded_in_one_form() {
        for (query, wanted) in [
            ("", ""),
            ("a=1&b=2&a=3", "a=1&b=2&a=3"),
            ("a=x+y&b=x%20y", "a=x%20y&b=x%20y"),
            ("a&b=&=c", "a&b=&=c"),
            ("a=b=c", "a=b%3Dc"),
            ("&&a=1&", "a=1"),
            ("a=%zz%4", "a=%25zz%254"),
            ("a=%c3%bc&b=\u{fc}", "a=%C3%BC&b=%C3%BC"),
            ("a=%ff%00", "a=%FF%00"),
            ("a=!'()*~-._", "a=%21%27%28%29%2A~-._"),
        ] {
            assert_eq!(changed(query, |_| {}), wanted, "{query}");
        }
    }

    #[test]
    fn arguments_are_changed_by_name() {
        let query = "a=1&b=2&a=3&c";
        assert_eq!(changed(query, |args| assert!(args.remove(b"a"))), "b=2&c");
        assert_eq!(changed(query, |args| assert!(!args.remove(b"x"))), query);
        assert_eq!(changed(query, |args| assert!(args.rename(b"a", b"b"))), "b=1&b=3&c");
        assert_eq!(changed(query, |args| assert!(!args.rename(b"x", b"b"))), query);
        assert_eq!(changed(query, |args| assert!(args.replace(b"a", b"x y"))), "a=x%20y&b=2&c");
        assert_eq!(changed(query, |args| assert!(args.replace(b"c", b"4"))), "a=1&b=2&a=3&c=4");
        assert_eq!(changed(query, |args| assert!(!args.replace(b"x", b"4"))), query);
        assert_eq!(changed(query, |args| assert!(!args.add(b"c", b"4"))), query);
        assert_eq!(changed(query, |args| assert!(args.add(b"d", b"4"))), "a=1&b=2&a=3&c&d=4");
        assert_eq!(changed(query, |args| args.append(b"c", Some(b"4"))), "a=1&b=2&a=3&c&c=4");
    }

    #[test]
    fn lookups_find_the_first_value() {
        let arguments = Arguments::parse(b"a=1&a=2&b&c=").unwrap();
        for (name, value) in [("a", Some("1")), ("b", Some("true")), ("c", Some("")), ("d", None)] {
            assert_eq!(arguments.first(name.as_bytes()), value.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn arguments_are_bounded() {
        assert!(Arguments::parse("a&".repeat(ENTRIES).as_bytes()).is_ok());
        assert_eq!(Arguments::parse("a&".repeat(ENTRIES + 1).as_bytes()), Err(TooManyEntries));
    }
}
