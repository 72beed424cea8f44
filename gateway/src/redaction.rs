//! What no log of requests shows: the values of secrets.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// What is shown in place of a secret.
pub(crate) const REDACTED: &[u8] = b"REDACTED";

/// The names of headers and of arguments of a query whose values are secrets.
#[derive(Clone, Debug)]
pub(crate) struct Redaction {
    /// In lower case.
    names: Box<[Box<str>]>,
}

impl Redaction {
    /// Redacts these names, in any case, and the fields that authenticate.
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| name.to_ascii_lowercase().into()).collect() }
    }

    /// Whether the values of a field are secrets. The name is in lower case.
    pub(crate) fn hides_field(&self, name: &str) -> bool {
        matches!(name, "authorization" | "proxy-authorization") || self.hides(name.as_bytes())
    }

    /// Whether the values of an argument of a query are secrets.
    pub(crate) fn hides(&self, name: &[u8]) -> bool {
        self.names.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
    }

    /// A path and a query without the secrets among its arguments.
    pub(crate) fn target<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(at) = memchr::memchr(b'?', target) else { return target.into() };
        let (path, query) = target.split_at(at + 1);
        let is_secret = |argument: &[u8]| self.hides(&name_of(argument));
        if !query.split(|byte| *byte == b'&').any(is_secret) {
            return target.into();
        }
        let mut shown = path.to_vec();
        for (number, argument) in query.split(|byte| *byte == b'&').enumerate() {
            if number > 0 {
                shown.push(b'&');
            }
            match memchr::memchr(b'=', argument) {
                Some(end) if is_secret(argument) => {
                    shown.extend_from_slice(&argument[..=end]);
                    shown.extend_from_slice(REDACTED);
                }
                _ => shown.extend_from_slice(argument),
            }
        }
        shown.into()
    }
}

/// The name of an argument.
pub(crate) fn name_of(argument: &[u8]) -> Vec<u8> {
    decoded(argument.split(|byte| *byte == b'=').next().unwrap_or_default())
}

/// A part of a query without its encoding. What is no encoding stays as it is.
pub(crate) fn decoded(text: &[u8]) -> Vec<u8> {
    let blanks: Vec<_> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    decoded_octets(&blanks)
}

/// A text without its percent-encoding. What is no encoding stays as it is.
pub(crate) fn decoded_octets(text: &[u8]) -> Vec<u8> {
    percent_decode(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        let redaction = Redaction::new(&["ApiKey".to_owned()]);
        for (name, hidden) in
            [("apikey", true), ("authorization", true), ("x-apikey", false), ("host", false)]
        {
            assert_eq!(redaction.hides_field(name), hidden, "{name}");
        }
        for (target, shown) in [
            ("/a", "/a"),
            ("/a?b=c", "/a?b=c"),
            ("/a?b&apikey=s&APIKEY=s=t&c=d", "/a?b&apikey=REDACTED&APIKEY=REDACTED&c=d"),
            ("/apikey=s?apikey", "/apikey=s?apikey"),
            ("/a?%61pikey=s", "/a?%61pikey=REDACTED"),
        ] {
            assert_eq!(&*redaction.target(target.as_bytes()), shown.as_bytes(), "{target}");
        }
    }

    #[test]
    fn parts_of_queries_are_decoded() {
        for (text, expected) in [("a+b", "a b"), ("%41%zz%", "A%zz%"), ("%2", "%2"), ("%C3%BC", "\u{fc}")] {
            assert_eq!(decoded(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }
}
