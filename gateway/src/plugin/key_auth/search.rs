//! Finds the key of a request.

use std::borrow::Cow;
use std::cell::LazyCell;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use super::body::BodyForm;
use crate::message::NamedHeader;
use crate::plugin::arguments::{self, Values};
use crate::plugin::auth::scheme;
use crate::redaction::Redaction;

/// A name under which a key is looked for.
#[derive(Debug)]
pub(super) struct KeyName {
    /// As it is configured, for arguments and fields of bodies.
    pub(super) text: Box<str>,
    pub(super) header: NamedHeader,
}

/// The places of a request in which a key is looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places<'a> {
    pub(super) headers: Option<&'a HeaderMap>,
    pub(super) query: Option<&'a [u8]>,
    pub(super) body: Option<(&'a BodyForm, &'a [u8])>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    Nothing,
    /// A text, which may be empty, under the name with this index.
    Key(usize, Cow<'a, [u8]>),
    /// Several under the name with this index.
    Duplicate(usize),
}

impl KeyName {
    /// Reads a name; `None` for one that no header can have.
    pub(super) fn new(text: &str) -> Option<Self> {
        Some(Self { text: text.into(), header: NamedHeader::new(text)? })
    }

    /// Two spellings of one name in a request are duplicates.
    fn in_headers<'a>(&self, headers: &'a HeaderMap) -> Values<'a> {
        let mut values = self.header.all(headers);
        match (values.next(), values.next()) {
            (None, _) => Values::None,
            (Some(value), None) => Values::One(value.as_bytes().into()),
            (Some(_), Some(_)) => Values::Many,
        }
    }
}

impl<'a> Places<'a> {
    /// Looks under each name in turn: in the header, the query, the body. The first text ends the search.
    pub(super) fn search(&self, names: &[KeyName]) -> Found<'a> {
        let in_body = LazyCell::new(|| {
            let texts = names.iter().map(|name| &*name.text);
            self.body.map(|(form, body)| form.values(body, texts)).unwrap_or_default()
        });
        for (index, name) in names.iter().enumerate() {
            let mut found = self.before_body(name);
            if found == Values::None {
                found = in_body.get(&*name.text).cloned().unwrap_or(Values::None);
            }
            match found {
                Values::None => {}
                Values::One(key) => return Found::Key(index, key),
                Values::Many => return Found::Duplicate(index),
            }
        }
        Found::Nothing
    }

    fn before_body(&self, name: &KeyName) -> Values<'a> {
        let found = self.headers.map_or(Values::None, |headers| name.in_headers(headers));
        match (&found, self.query) {
            (Values::None, Some(query)) => arguments::values(query, &name.text),
            _ => found,
        }
    }
}

/// The headers and arguments in which keys are.
pub(super) fn secrets(names: &[KeyName]) -> Redaction {
    let spellings = names.iter().flat_map(|name| name.header.spellings());
    Redaction::new(&spellings.map(HeaderName::to_string).collect::<Vec<_>>())
}

/// The token of the header Authorization with the scheme Bearer.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?;
    scheme::credentials(value.as_bytes(), "bearer").map(<[u8]>::trim_ascii_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<KeyName> {
        ["apikey", "x_key"].map(|name| KeyName::new(name).unwrap()).into()
    }

    fn key(index: usize, text: &str) -> Found<'static> {
        Found::Key(index, text.as_bytes().to_vec().into())
    }

    #[test]
    fn order_of_places() {
        let form = BodyForm::of(b"application/x-www-form-urlencoded").unwrap();
        for (fields, query, body, expected) in [
            (&[][..], None, None, Found::Nothing),
            (&[("apikey", "h")], Some("apikey=q"), Some("apikey=b"), key(0, "h")),
            (&[("APIKEY", "")], Some("apikey=q"), None, key(0, "")),
            (&[], Some("apikey=q"), Some("apikey=b"), key(0, "q")),
            (&[], Some("apikey="), None, key(0, "")),
            (&[], Some("apikey"), Some("apikey=b"), key(0, "b")),
            (&[], Some("ApiKey=q"), None, Found::Nothing),
            (&[], None, Some("x_key=b"), key(1, "b")),
            (&[("x-key", "h")], None, None, key(1, "h")),
            (&[("x_key", "h")], None, None, key(1, "h")),
            (&[("x_key", "h"), ("x-key", "h")], None, None, Found::Duplicate(1)),
            // The body is searched before the next name.
            (&[("x_key", "h")], None, Some("apikey=b"), key(0, "b")),
            (&[("apikey", "h"), ("apikey", "h")], None, None, Found::Duplicate(0)),
            (&[("apikey", "h")], Some("apikey=q&apikey=r"), None, key(0, "h")),
            (&[], Some("apikey=q&apikey=q"), Some("apikey=b"), Found::Duplicate(0)),
            (&[], None, Some("apikey=b&apikey=b"), Found::Duplicate(0)),
        ] {
            let headers = fields
                .iter()
                .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()));
            let headers: HeaderMap = headers.collect();
            let places = Places {
                headers: Some(&headers),
                query: query.map(str::as_bytes),
                body: body.map(|body: &str| (&form, body.as_bytes())),
            };
            assert_eq!(places.search(&names()), expected, "{fields:?} {query:?} {body:?}");
        }
    }

    #[test]
    fn bearer_tokens() {
        for (value, token) in [("Bearer a", Some("a")), ("bearer  a", Some("a")), ("Basic a", None)] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
            assert_eq!(bearer(&headers), token.map(str::as_bytes), "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
