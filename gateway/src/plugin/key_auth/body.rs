//! A key in the body of a request: a form, JSON, or multipart.

mod member;

use std::borrow::Cow;
use std::collections::HashMap;

use self::member::Member;
use crate::plugin::arguments::{self, Values};
use crate::plugin::content::{Json, MediaType, Multipart, Path, TooManyEntries, media_type};

/// The form of a body in which a key may be.
#[derive(Debug)]
pub(super) struct BodyForm {
    media_type: MediaType,
    /// With the boundary of multipart.
    content_type: Vec<u8>,
}

impl BodyForm {
    /// The form that a Content-Type states; `None` for one that can hold no key.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        Some(Self { media_type: media_type(content_type)?, content_type: content_type.to_vec() })
    }

    /// The values of the fields with these names, which differ. The body is read once, however many names there
    /// are. One that cannot be read has none.
    pub(super) fn values<'a, 'n>(
        &self,
        body: &'a [u8],
        names: impl Iterator<Item = &'n str>,
    ) -> HashMap<&'n str, Values<'a>> {
        let mut values: HashMap<_, _> = names.map(|name| (name, Values::None)).collect();
        match self.media_type {
            MediaType::Form => arguments::fill(body, &mut values),
            MediaType::Json => {
                let of = |member| match member {
                    Member::Text(text) => Values::One(Cow::Owned(text.into_bytes())),
                    Member::Several => Values::Many,
                    Member::Other => Values::None,
                };
                for (name, member) in member::find(body, &values).unwrap_or_default() {
                    values.insert(name, of(member));
                }
            }
            MediaType::Multipart => {
                let Some(parts) = self.parts(body).ok().flatten() else { return values };
                for (name, value) in &mut values {
                    let mut named = parts.bodies(name.as_bytes());
                    *value = match (named.next(), named.next()) {
                        (None, _) => Values::None,
                        (Some(one), None) => Values::One(Cow::Owned(one.to_vec())),
                        (Some(_), Some(_)) => Values::Many,
                    };
                }
            }
        }
        values
    }

    /// The body without the fields with this name; `None` when there are none.
    ///
    /// # Errors
    /// When the body has more fields than may be changed.
    pub(super) fn without(&self, body: &[u8], name: &str) -> Result<Option<Vec<u8>>, TooManyEntries> {
        match self.media_type {
            MediaType::Form => Ok(arguments::without(body, name)),
            MediaType::Json => {
                let Some(mut fields) = Json::parse(body)? else { return Ok(None) };
                Ok(fields.remove(&Path::new(name, false))?.then(|| fields.encode()))
            }
            MediaType::Multipart => {
                let Some(mut parts) = self.parts(body)? else { return Ok(None) };
                Ok(parts.remove(name.as_bytes()).then(|| parts.encode()))
            }
        }
    }

    fn parts(&self, body: &[u8]) -> Result<Option<Multipart>, TooManyEntries> {
        Multipart::parse(&self.content_type, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MULTIPART: &str = "multipart/form-data; boundary=x";

    #[test]
    fn keys_in_bodies() {
        let part = |name: &str, value: &str| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let one = format!("{}{}--x--\r\n", part("b", "2"), part("k", "secret"));
        let rest = format!("{}--x--\r\n", part("b", "2"));
        let two = format!("{}{}--x--\r\n", part("k", "1"), part("k", "2"));
        let secret = || Values::One(b"secret".into());
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let json = "application/json";
        for (content_type, body, values, without) in [
            (form, "a=1&k=secret", secret(), Some("a=1")),
            (form, "k=1&k=2", Values::Many, Some("")),
            (json, r#"{"b":[1.50],"k":"secret","a":2}"#, secret(), Some(r#"{"b":[1.50],"a":2}"#)),
            (json, r#"{"k":["a","b"]}"#, Values::Many, Some("{}")),
            (json, r#"{"k":"a","\u006b":"secret"}"#, secret(), Some("{}")),
            (json, r#"{"k":7}"#, Values::None, Some("{}")),
            (json, r#"{"k":"secret""#, Values::None, None),
            (json, r#""k""#, Values::None, None),
            (MULTIPART, &one, secret(), Some(rest.as_str())),
            (MULTIPART, &two, Values::Many, Some("--x--\r\n")),
            (MULTIPART, "--x", Values::None, None),
        ] {
            let of = BodyForm::of(content_type.as_bytes()).unwrap();
            let found = of.values(body.as_bytes(), ["x", "k"].into_iter());
            assert_eq!(found, HashMap::from([("x", Values::None), ("k", values)]), "{body}");
            let rest = of.without(body.as_bytes(), "k").unwrap();
            assert_eq!(rest.as_deref(), without.map(str::as_bytes), "{body}");
        }
        assert!(BodyForm::of(b"text/plain").is_none());
    }
}
