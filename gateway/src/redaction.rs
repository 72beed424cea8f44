//! What no log of requests shows: the values of secrets.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use smallvec::SmallVec;

/// What is shown in place of a secret.
pub(crate) const REDACTED: &[u8] = b"REDACTED";

/// The names of headers, of arguments of a query and of cookies whose values are secrets.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    names: Box<[Box<str>]>,
    cookies: Box<[Box<str>]>,
}

/// All that is redacted of one request, beside the fields that authenticate by a standard.
#[derive(Clone, Debug)]
pub(crate) struct Redactions<'r>(SmallVec<[&'r Redaction; 4]>);

impl Redaction {
    /// Redacts the headers and arguments with these names, in any case.
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: boxed(names), cookies: Box::default() }
    }

    /// Redacts the cookies with these names, in any case, as well.
    pub(crate) fn with_cookies(self, cookies: &[String]) -> Self {
        Self { cookies: boxed(cookies), ..self }
    }
}

fn boxed(names: &[String]) -> Box<[Box<str>]> {
    names.iter().map(|name| name.as_str().into()).collect()
}

impl<'r> FromIterator<&'r Redaction> for Redactions<'r> {
    fn from_iter<I: IntoIterator<Item = &'r Redaction>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl Redactions<'_> {
    /// Whether the values of a field are secrets. The name is in lower case.
    pub(crate) fn hides_field(&self, name: &str) -> bool {
        matches!(name, "authorization" | "proxy-authorization") || self.hides(name.as_bytes())
    }

    /// Whether the values of an argument of a query are secrets.
    fn hides(&self, name: &[u8]) -> bool {
        self.0.iter().any(|one| has(&one.names, name))
    }

    /// A path and a query without the secrets among its arguments.
    pub(crate) fn target<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        let Some(at) = memchr::memchr(b'?', target) else { return target.into() };
        let (path, query) = target.split_at(at + 1);
        match self.query(query) {
            Cow::Borrowed(_) => target.into(),
            Cow::Owned(query) => [path, &query].concat().into(),
        }
    }

    /// A query without the secrets among its arguments.
    pub(crate) fn query<'q>(&self, query: &'q [u8]) -> Cow<'q, [u8]> {
        let is_secret = |argument: &[u8]| self.hides(&name_of(argument));
        if !query.split(|byte| *byte == b'&').any(is_secret) {
            return query.into();
        }
        let mut shown = Vec::with_capacity(query.len());
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

    /// A list of cookies without the secrets among them.
    pub(crate) fn cookies<'c>(&self, cookies: &'c [u8]) -> Cow<'c, [u8]> {
        let secret = |cookie: &[u8]| {
            let name = cookie.split(|byte| *byte == b'=').next().unwrap_or_default();
            self.0.iter().any(|one| has(&one.cookies, name.trim_ascii())).then_some(name.len())
        };
        if !cookies.split(|byte| *byte == b';').any(|cookie| secret(cookie).is_some()) {
            return cookies.into();
        }
        let shown = cookies.split(|byte| *byte == b';').map(|cookie| match secret(cookie) {
            Some(end) if end < cookie.len() => [&cookie[..=end], REDACTED].concat(),
            _ => cookie.to_vec(),
        });
        shown.collect::<Vec<_>>().join(&b';').into()
    }
}

fn has(names: &[Box<str>], name: &[u8]) -> bool {
    names.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()))
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
        let names = |name: &str| [name.to_owned()];
        let own = Redaction::new(&names("ApiKey"));
        let of_plugin = Redaction::new(&names("X-Token")).with_cookies(&names("Session"));
        let redaction: Redactions<'_> = [&own, &of_plugin].into_iter().collect();
        for (name, hidden) in [
            ("apikey", true),
            ("authorization", true),
            ("x-token", true),
            ("x-apikey", false),
            ("session", false),
            ("host", false),
        ] {
            assert_eq!(redaction.hides_field(name), hidden, "{name}");
        }
        for (cookies, shown) in [
            ("a=b", "a=b"),
            ("session", "session"),
            ("a=b; session=s=t;SESSION=;x-token=c", "a=b; session=REDACTED;SESSION=REDACTED;x-token=c"),
        ] {
            assert_eq!(&*redaction.cookies(cookies.as_bytes()), shown.as_bytes(), "{cookies}");
        }
        for (target, shown) in [
            ("/a", "/a"),
            ("/a?b=c", "/a?b=c"),
            ("/a?b&apikey=s&APIKEY=s=t&c=d", "/a?b&apikey=REDACTED&APIKEY=REDACTED&c=d"),
            ("/apikey=s?apikey", "/apikey=s?apikey"),
            ("/a?%61pikey=s&x-token=t", "/a?%61pikey=REDACTED&x-token=REDACTED"),
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
